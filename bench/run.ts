import { writeFileSync } from 'node:fs'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { installPeers } from './driver/install.ts'
import { describeMachine } from './driver/machine.ts'
import type { Run, Scenario } from './driver/model.ts'
import { runProcess, stopRunning } from './driver/process.ts'
import { json, markdown, type Report } from './driver/report.ts'
import { SCENARIOS, TARGETS } from './driver/scenarios.ts'
import { realWorld, runScenario } from './driver/schedule.ts'
import { summarize, verdict } from './driver/summary.ts'
import { renderScenario, renderVerdicts } from './driver/table.ts'

const HELP = `npm run bench -- [options]

  --only NAME      only this scenario, or all whose name begins with NAME (repeatable)
  --peers A,B,…    only these competitors
  --quick          fewer rounds, no waiting for a quiet machine: a look, not a result
  --rounds N       rounds per scenario
  --slots N        workers per pool (default 2, or 1 on a single core)
  --json FILE      every run and every table, as JSON ('-' is stdout)
  --write          write bench/RESULTS.md
  --list           names of the scenarios

It always ends with 0 unless it could not run at all: targets are printed, not enforced.
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    peers: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    slots: { type: 'string' },
    json: { type: 'string' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** With `--json -`, stdout belongs to the JSON. */
const print = (text: string) => (options.json === '-' ? process.stderr : process.stdout).write(`${text}\n`)

if (options.help) process.stdout.write(HELP)
else if (options.list) for (const { name, title } of SCENARIOS) print(`${name.padEnd(18)} ${title}`)
else await main()

async function main(): Promise<void> {
  const scenarios = choose()
  const slots = positive('--slots', options.slots) ?? Math.min(2, os.availableParallelism())
  installPeers()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopRunning()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }

  const begin = performance.now()
  const spinsPerMs = await calibrate()
  const runs: Run[] = []
  for (const scenario of scenarios) {
    runs.push(...(await measure(scenario, { slots, spinsPerMs })))
    print(
      `\n${scenario.name}: ${scenario.title}\n${renderScenario(scenario, summarize(scenario, runs), 'text')}`,
    )
  }

  const measured = new Set(scenarios.map(({ name }) => name))
  const report: Report = {
    machine: describeMachine(['piscina', 'tinypool', 'workerpool', 'poolifier']),
    command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(
      ' ',
    ),
    slots,
    seconds: (performance.now() - begin) / 1000,
    scenarios,
    runs,
    verdicts: TARGETS.filter((target) => measured.has(target.scenario)).map((target) =>
      verdict(target, runs),
    ),
  }
  if (report.verdicts.length) print(`\n${renderVerdicts(report.verdicts, 'text')}`)
  if (options.json === '-') process.stdout.write(json(report))
  else if (options.json) writeFileSync(options.json, json(report))
  if (options.write) writeFileSync(new URL('RESULTS.md', import.meta.url), markdown(report))
}

function measure(scenario: Scenario, common: { slots: number; spinsPerMs: number }): Promise<Run[]> {
  const patience = options.quick
    ? { retries: 0, perRun: 0, perScenario: 0 }
    : { retries: 2, perRun: 15_000, perScenario: 120_000 }
  const progress = process.stderr.isTTY
  return runScenario(
    scenario,
    {
      ...realWorld,
      run: (_, competitor) =>
        runProcess({ ...scenario, competitor, params: { ...common, ...scenario.params } }),
      onRun({ competitor, round, outcome, seconds, disturbed }) {
        if (!progress) return
        const state = `${outcome.status}${disturbed ? ', disturbed' : ''}`
        process.stderr.write(
          `\r\x1b[K${scenario.name} ${round + 1}/${scenario.rounds} ${competitor}: ${state}, ${seconds.toFixed(1)} s`,
        )
        if (round === scenario.rounds - 1 && competitor === scenario.competitors.at(-1))
          process.stderr.write('\r\x1b[K')
      },
    },
    patience,
  )
}

function choose(): Scenario[] {
  const wanted = options.only
  const peers = options.peers?.split(',')
  const rounds = positive('--rounds', options.rounds)
  const names = new Set(SCENARIOS.map(({ name }) => name))
  const matches = (name: string) =>
    !wanted || wanted.some((text) => (names.has(text) ? name === text : name.startsWith(text)))
  const chosen = SCENARIOS.filter(({ name }) => matches(name)).map((scenario) => ({
    ...scenario,
    params: options.quick ? { ...scenario.params, ...scenario.quick } : scenario.params,
    rounds: rounds ?? (options.quick ? Math.ceil(scenario.rounds / 4) : scenario.rounds),
    competitors: scenario.competitors.filter((name) => !peers || peers.includes(name)),
  }))
  const some = chosen.filter(({ competitors }) => competitors.length)
  if (some.length === 0)
    fail(`No scenario matches --only ${wanted?.join(', ')} --peers ${options.peers ?? 'all'}; see --list`)
  return some
}

/** One number for the whole bench: the same work for everybody. */
async function calibrate(): Promise<number> {
  const outcome = await runProcess({ competitor: 'loop', file: 'calibrate', params: {}, limit: 30 })
  if (outcome.status !== 'ok') return fail(`The calibration did not run: ${JSON.stringify(outcome)}`)
  return outcome.values.spinsPerMs as number
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    fail(`Expected ${name} to be a whole number from 1 up, got ${text}`)
  return value
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(2)
}
