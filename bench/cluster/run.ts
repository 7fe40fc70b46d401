import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describeMachine } from '../driver/machine.ts'
import type { Outcome, Run, Scenario } from '../driver/model.ts'
import { runCommand, stopRunning } from '../driver/process.ts'
import { json, markdown, type Report } from '../driver/report.ts'
import { realWorld, runScenario } from '../driver/schedule.ts'
import { summarize, verdict } from '../driver/summary.ts'
import { renderScenario, renderVerdicts } from '../driver/table.ts'
import { endLeftovers, RUN_VARIABLE } from './driver/leftovers.ts'
import { commandOf, preparePeers, versions } from './driver/peers.ts'
import { SCENARIOS, TARGETS } from './driver/scenarios.ts'

const HELP = `npm run bench:cluster -- [options]

  --only NAME      only this scenario, or all whose name begins with NAME (repeatable)
  --peers A,B,…    only these competitors
  --quick          one round, smaller, no waiting for a quiet machine: a look in 6 minutes, not a result
  --rounds N       rounds per scenario
  --slots N        slots per cluster (default 2)
  --json FILE      every run and every table, as JSON ('-' is stdout)
  --write          write bench/cluster/RESULTS.md
  --list           names of the scenarios

It always ends with 0 unless it could not run at all: targets are printed, not enforced.
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    peers: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    slots: { type: 'string', default: '2' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** With `--json -`, stdout belongs to the JSON. */
const print = (text: string) => (options.json === '-' ? process.stderr : process.stdout).write(`${text}\n`)

if (options.help) process.stdout.write(HELP)
else if (options.list) for (const { name, title } of SCENARIOS) print(`${name.padEnd(12)} ${title}`)
else await main()

async function main(): Promise<void> {
  const slots = positive('--slots', options.slots)
  const chosen = choose()
  const missing = preparePeers(new Set(chosen.flatMap(({ competitors }) => competitors)))
  for (const [name, why] of missing) print(`${name} does not take part: ${why}`)
  const scenarios = chosen.map((scenario) => ({
    ...scenario,
    competitors: scenario.competitors.filter((name) => !missing.has(name)),
  }))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopRunning()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }

  const begin = performance.now()
  const runs: Run[] = []
  for (const scenario of scenarios) {
    if (scenario.competitors.length === 0) continue
    runs.push(...(await measure(scenario, slots)))
    print(
      `\n${scenario.name}: ${scenario.title}\n${renderScenario(scenario, summarize(scenario, runs), 'text')}`,
    )
  }

  const measured = new Set(scenarios.map(({ name }) => name))
  const machine = describeMachine([])
  const report: Report = {
    machine: { ...machine, versions: { ...machine.versions, ...versions() } },
    command: [
      'npm run bench:cluster',
      ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : []),
    ].join(' '),
    slots,
    seconds: (performance.now() - begin) / 1000,
    scenarios,
    runs,
    verdicts: TARGETS.filter(({ scenario }) => measured.has(scenario)).map((target) => verdict(target, runs)),
  }
  if (report.verdicts.length) print(`\n${renderVerdicts(report.verdicts, 'text')}`)
  if (options.json === '-') process.stdout.write(json(report))
  else if (options.json) writeFileSync(options.json, json(report))
  if (options.write) writeFileSync(new URL('RESULTS.md', import.meta.url), markdown(report))
}

async function measure(scenario: Scenario, slots: number): Promise<Run[]> {
  const patience = options.quick
    ? { retries: 0, perRun: 0, perScenario: 0 }
    : { retries: 1, perRun: 10_000, perScenario: 60_000 }
  // A run is a whole cluster, much of which is no child of ours in the end: it says itself what others used.
  let foreign: number | undefined
  return runScenario(
    scenario,
    {
      quiet: realWorld.quiet,
      async run(_, competitor) {
        const outcome = await once(scenario, competitor, slots)
        foreign = outcome.status === 'ok' ? outcome.values.foreign : undefined
        return outcome
      },
      async observe(work) {
        const from = performance.now()
        return { value: await work(), foreign, ms: performance.now() - from }
      },
      onRun({ competitor, round, outcome, seconds, disturbed }) {
        if (!process.stderr.isTTY && !process.env.DICOMP_BENCH_VERBOSE) return
        const why = outcome.status === 'failed' ? ` (${outcome.why})` : ''
        process.stderr.write(
          `${scenario.name} ${round + 1}/${scenario.rounds} ${competitor}: ${outcome.status}${why}${
            disturbed ? `, disturbed by ${foreign?.toFixed(2)} cores` : ''
          }, ${seconds.toFixed(1)} s\n`,
        )
      },
    },
    patience,
  )
}

async function once(scenario: Scenario, competitor: string, slots: number): Promise<Outcome> {
  const run = randomUUID()
  // A short name: sockets are below it, whose paths may not be long.
  const dir = mkdtempSync(join(tmpdir(), 'b-'))
  const [command, args] = commandOf(competitor, scenario.file, { slots, ...scenario.params })
  const server = process.env.DICOMP_NATS_SERVER
  const outcome = await runCommand(command, args, {
    limit: scenario.limit,
    sinceStart: scenario.sinceStart,
    env: { [RUN_VARIABLE]: run, TMPDIR: dir, ...(server ? { DICOMP_NATS_SERVER: server } : {}) },
    cleanUp: () => endLeftovers(run),
  })
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  return outcome
}

function choose(): Scenario[] {
  const wanted = options.only
  const peers = options.peers?.split(',')
  const rounds = options.rounds === undefined ? undefined : positive('--rounds', options.rounds)
  const names = new Set(SCENARIOS.map(({ name }) => name))
  const matches = (name: string) =>
    !wanted || wanted.some((text) => (names.has(text) ? name === text : name.startsWith(text)))
  const chosen = SCENARIOS.filter(({ name }) => matches(name)).map((scenario) => ({
    ...scenario,
    params: options.quick ? { ...scenario.params, ...scenario.quick } : scenario.params,
    rounds: rounds ?? (options.quick ? 1 : scenario.rounds),
    competitors: scenario.competitors.filter((name) => !peers || peers.includes(name)),
  }))
  const some = chosen.filter(({ competitors }) => competitors.length)
  if (some.length === 0)
    fail(`No scenario matches --only ${wanted?.join(', ')} --peers ${options.peers ?? 'all'}; see --list`)
  return some
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    fail(`Expected ${name} to be a whole number from 1 up, got ${text}`)
  return value
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}
