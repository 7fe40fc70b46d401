/**
 * Many runs, one after the other (or some at the same time), until so many tasks were done or the time is over.
 *
 *   node --import tsx test/chaos/run.ts --tasks 200000             # about 40 runs
 *   node --import tsx test/chaos/run.ts --seed 1234 --runs 1 --keep  # one of them again
 *
 *   --tasks n      tasks of all runs together, no end by default
 *   --minutes m    no new run begins after that
 *   --runs n       so many runs
 *   --seed n       of the first run; the next ones count up. By default a random one, which is printed
 *   --size n       tasks per run, 5000 by default
 *   --parallel n   runs at the same time, 1 by default
 *   --faults a,b   only these faults
 *   --servers n    1 or 3
 *   --detached     with detached jobs and their drivers in every run
 *   --keep         keep the folders of good runs too
 *   --json         one line per run, and a summary
 */
import { parseArgs } from 'node:util'
import { describePlan, type Fault, planOf } from './plan.ts'
import { carryOut, type Trial } from './trial.ts'

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: 'Infinity' },
    minutes: { type: 'string', default: 'Infinity' },
    runs: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    size: { type: 'string', default: '5000' },
    parallel: { type: 'string', default: '1' },
    faults: { type: 'string' },
    servers: { type: 'string' },
    detached: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const limits = { tasks: Number(values.tasks), runs: Number(values.runs), ms: Number(values.minutes) * 60_000 }
const began = performance.now()
const done: Trial[] = []
const kinds = new Map<string, number>()
let seed = Number(values.seed)
let tasks = 0
let runs = 0
let stop = false
process.once('SIGINT', () => (stop = true))

const print = (text: string, data: object): void => console.log(values.json ? JSON.stringify(data) : text)

async function worker(): Promise<void> {
  while (!stop && tasks < limits.tasks && runs < limits.runs && performance.now() - began < limits.ms) {
    const plan = planOf(seed++, {
      tasks: Number(values.size),
      ...(values.faults === undefined
        ? {}
        : { faults: values.faults.split(',').filter(Boolean) as Fault['type'][] }),
      ...(values.servers ? { servers: Number(values.servers) as 1 | 3 } : {}),
      ...(values.detached ? { detached: true } : {}),
    })
    runs++
    tasks += plan.jobs.reduce((sum, job) => sum + job.tasks, 0)
    for (const { type } of plan.faults) kinds.set(type, (kinds.get(type) ?? 0) + 1)
    if (!values.json) console.log(describePlan(plan))
    const trial = await carryOut(plan, { keep: values.keep }).catch((error: Error) =>
      failed(plan.seed, error),
    )
    done.push(trial)
    const { ms, executions, repeated, sameAttempt, violations, folder } = trial
    print(
      `seed ${trial.seed}: ${trial.tasks} tasks in ${(ms / 1000).toFixed(1)} s, ${executions} executions, ` +
        `${repeated} repeated (${sameAttempt} under the same attempt), ` +
        (violations.length === 0
          ? 'good'
          : `${violations.length} VIOLATIONS, see ${folder}:\n    ${violations.join('\n    ')}`),
      trial,
    )
  }
}

/** The run could not be judged: that is no success either. */
const failed = (seed: number, error: Error): Trial => ({
  seed,
  ms: 0,
  faults: 0,
  store: undefined,
  folder: undefined,
  violations: [
    `the run broke off: ${error.stack}${error.cause ? `\n    ${(error.cause as Error).stack}` : ''}`,
  ],
  tasks: 0,
  executions: 0,
  repeated: 0,
  sameAttempt: 0,
})

await Promise.all(Array.from({ length: Number(values.parallel) }, worker))

const sum = (of: (trial: Trial) => number): number => done.reduce((total, trial) => total + of(trial), 0)
const bad = done.filter(({ violations }) => violations.length > 0).map((trial) => trial.seed)
const summary = {
  runs: done.length,
  firstSeed: Number(values.seed),
  tasks: sum((trial) => trial.tasks),
  executions: sum((trial) => trial.executions),
  repeated: sum((trial) => trial.repeated),
  sameAttempt: sum((trial) => trial.sameAttempt),
  faults: Object.fromEntries([...kinds].sort()),
  minutes: Number(((performance.now() - began) / 60_000).toFixed(1)),
  bad,
}
print(`\n${JSON.stringify(summary, null, 2)}`, { summary })
process.exitCode = bad.length === 0 ? 0 : 1
