/** Finds a short round trip through all cities of a TSPLIB file, on every core. `--help` lists the options. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from 'dicomp'
import { numberOption, usage } from '../options.ts'
import { amount, count, Live } from '../terminal.ts'
import { compare } from './compare.ts'
import { problemOf } from './geometry.ts'
import { type Progress, solve } from './solve.ts'
import { drawTour } from './svg.ts'
import { type Instance, OPTIMA, readTsplib, TsplibError } from './tsplib.ts'

const HELP = `Usage: main.ts [file.tsp | name] [options]

Finds a short round trip through all cities of a TSPLIB file (EUC_2D), on every core.
Names of files that come with it: ${Object.keys(OPTIMA).join(', ')} (default pr1002).

  --seconds N   how long to search (default 15; ends earlier at the known optimum)
  --seed N      another seed, another search (default 1)
  --slots N     slots to use (default: all cores)
  --optimum N   known optimal length of a file that is not in the list
  --svg FILE    where to draw the tour (default <name>-tour.svg)
  --json        print the result as JSON
  --compare     one slot against all, in the same time, with several seeds
  --seeds N     how many seeds --compare takes (default 5)
`

const { values: flags, positionals } = readArguments()
if (flags.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
if (positionals.length > 1) usage(`One file at a time, got ${positionals.length}: ${positionals.join(' ')}`)
const seconds = numberOption('seconds', flags.seconds, { least: 0.1, most: 86_400, whole: false })
const seed = numberOption('seed', flags.seed, { least: 0, most: 2 ** 31 }) ?? 1
const asked = numberOption('slots', flags.slots, { least: 1, most: 1024 })
let slots = asked ?? availableParallelism()
const seeds = numberOption('seeds', flags.seeds, { least: 1, most: 1000 }) ?? 5
const instance = load(positionals[0] ?? 'pr1002')
const optimum = numberOption('optimum', flags.optimum, { least: 0 }) ?? OPTIMA[instance.name]
const problem = problemOf(instance.x, instance.y)

if (flags.compare) {
  const result = await compare(problem, { slots, seconds: seconds ?? 5, seed, seeds, optimum })
  console.log(flags.json ? JSON.stringify({ instance: instance.name, ...result }) : result.table)
} else {
  await run()
}

async function run(): Promise<void> {
  // Without --slots all of this computer, or of the cluster whose link is in DICOMP_URL.
  const cluster = await connect(asked === undefined ? {} : { slots: asked })
  slots = cluster.slots
  const live = new Live()
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  const n = instance.x.length
  if (!flags.json)
    console.log(`${instance.name}: ${amount(n, 'city', 'cities')}, ${amount(slots, 'slot')}, seed ${seed}`)

  let last: Progress | undefined
  const options = { seconds: seconds ?? 15, seed, optimum, signal: stop.signal }
  for await (const now of solve(problem, cluster, options)) {
    live.show(statusLine(now), now.improvements > (last?.improvements ?? 0) && now.length === optimum)
    last = now
  }
  live.end()
  await cluster.close()
  if (!last) throw new Error('No search ended')

  const svg = flags.svg ?? `${instance.name.replaceAll(/[^\w.-]/g, '_')}-tour.svg`
  const caption = `${instance.name}: ${count(last.length)}${gapText(last.length)}`
  try {
    writeFileSync(svg, drawTour(instance, last.tour, caption))
  } catch (error) {
    usage(
      `The drawing could not be written: ${(error as Error).message}\nGive another place with --svg FILE.`,
    )
  }
  if (flags.json) {
    const { length, searches, improvements, kicks } = last
    const tour = Array.from(last.tour, (city) => city + 1)
    const gap = optimum === undefined ? null : length / optimum - 1
    const summary = { instance: instance.name, cities: n, length, optimum: optimum ?? null, gap, slots, seed }
    console.log(
      JSON.stringify({ ...summary, seconds: last.seconds, searches, improvements, kicks, svg, tour }),
    )
  } else {
    console.log(`length    ${count(last.length)}${gapText(last.length)}`)
    console.log('checked   every city once, length computed again from the coordinates')
    console.log(
      `work      ${amount(last.searches, 'search', 'searches')}, ${count(last.kicks)} kicks in ${last.seconds.toFixed(1)} s on ${amount(slots, 'slot')}`,
    )
    console.log(`drawn     ${svg}`)
  }
  if (stop.signal.aborted) process.exitCode = 130
}

function statusLine(now: Progress): string {
  const time = `${now.seconds.toFixed(1).padStart(5)} s`
  const rate = (now.searches / now.seconds).toFixed(1)
  return `${time}  best ${count(now.length)}${gapText(now.length)}  ${amount(now.improvements, 'improvement')}  ${amount(now.searches, 'search', 'searches')} (${rate}/s)  ${amount(slots, 'slot')}`
}

function gapText(length: number): string {
  if (optimum === undefined) return ''
  if (length === optimum) return '  the published optimum'
  if (length < optimum)
    return `  shorter than the published optimum of ${count(optimum)}: not the same cities`
  return `  ${(100 * (length / optimum - 1)).toFixed(3)} % above the published optimum`
}

function load(name: string): Instance {
  const folder = fileURLToPath(new URL('data/', import.meta.url))
  const carried = readdirSync(folder).filter((file) => file.endsWith('.tsp'))
  try {
    return readTsplib(!existsSync(name) && carried.includes(`${name}.tsp`) ? `${folder}${name}.tsp` : name)
  } catch (error) {
    if (!(error instanceof TsplibError)) throw error
    return usage(error.message)
  }
}

function readArguments() {
  const text = { type: 'string' } as const
  const yes = { type: 'boolean' } as const
  const options = {
    seconds: text,
    seed: text,
    slots: text,
    optimum: text,
    svg: text,
    seeds: text,
    json: yes,
    compare: yes,
    help: { ...yes, short: 'h' },
  }
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    return usage(`${(error as Error).message}\n\n${HELP}`)
  }
}
