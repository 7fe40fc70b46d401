/** One run: a plan, carried out and judged. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { ACK_WAIT_MS, ORPHAN_MS } from '../../src/nats/settings.ts'
import { check, type Verdict } from './checker.ts'
import { breakThings } from './faults.ts'
import { readExecutions, readHistory } from './history.ts'
import type { Store } from './observer.ts'
import { describePlan, type Fault, type JobPlan, type Plan } from './plan.ts'
import { processesOf } from './processes.ts'
import { hasEnded, until, World } from './world.ts'

export interface Trial extends Verdict {
  seed: number
  /** From the first task to the last outcome, milliseconds. */
  ms: number
  faults: number
  store: Store | undefined
  /** Where the story of a run with violations is. */
  folder: string | undefined
}

export interface TrialOptions {
  /** Keep the folder even of a good run. */
  keep?: boolean
}

/** All outcomes have to be there this long after the begin of the run, milliseconds, on a machine that has other work. */
const WORK_MS = 150_000
/** After this a program has noticed, and acted. */
const GRACE_MS = 5000
/**
 * Afterwards everything has to be at rest within this time: a chunk whose acknowledgement was lost is given out again,
 * perhaps to a node that has not heard the goodbye of its client.
 */
const REST_MS = ACK_WAIT_MS + ORPHAN_MS + GRACE_MS
const DRAIN_MS = 15_000
/** The code of a job that stays in the object store, until it expires; arguments and results do not. */
const CODE_BYTES = 20_000
/** Uploads that were interrupted stay until they expire. */
const SPARE_BYTES = 2_000_000
/** Whoever dies may leave what it had stored for others, until that expires too. */
const KILLS: Fault['type'][] = ['killClient', 'killDriver', 'killNode']
/** What the client that is killed works on: more than it can see the end of. */
const DOOMED: JobPlan = { id: 900, kind: 'sleepy', tasks: 1000, via: 'settled', at: 0 }

export async function carryOut(plan: Plan, options: TrialOptions = {}): Promise<Trial> {
  const world = await World.start(plan)
  const violations: string[] = []
  let keep = true
  try {
    writeFileSync(join(world.folder, 'plan'), describePlan(plan))
    const began = performance.now()
    const killedAt = await work(plan, world, violations)
    const ms = Math.round(performance.now() - began)
    const most = plan.faults.some(({ type }) => KILLS.includes(type))
      ? Infinity
      : plan.jobs.length * CODE_BYTES + SPARE_BYTES
    const store = await rest(world, most, killedAt === undefined ? REST_MS : ORPHAN_MS + REST_MS, violations)
    await leave(world, violations)

    const executions = readExecutions(join(world.folder, 'notes'))
    const late = executions.filter(
      ({ job, at }) => job === DOOMED.id && at > (killedAt ?? 0) + ORPHAN_MS + GRACE_MS,
    )
    if (killedAt !== undefined && late.length > 0) {
      violations.push(`${late.length} tasks were run for a client that was dead for longer than ORPHAN_MS`)
    }
    const verdict = check(plan.jobs, readHistory(join(world.folder, 'history-main')), executions)
    verdict.violations.push(...violations)
    keep = options.keep === true || verdict.violations.length > 0
    if (keep) writeFileSync(join(world.folder, 'violations'), verdict.violations.join('\n'))
    return {
      seed: plan.seed,
      ms,
      faults: plan.faults.length,
      store,
      folder: keep ? world.folder : undefined,
      ...verdict,
    }
  } finally {
    await world.stop(keep)
  }
}

/** Has the work done while things break. @returns when the doomed client was killed, if it was */
async function work(plan: Plan, world: World, violations: string[]): Promise<number | undefined> {
  const start = (jobs: JobPlan[], name: string) => {
    const file = join(world.folder, `jobs-${name}`)
    writeFileSync(file, JSON.stringify(jobs))
    return world.startClient(file, name)
  }
  const client = start(plan.jobs, 'main')
  const doomed = plan.faults.some(({ type }) => type === 'killClient') ? start([DOOMED], 'doomed') : undefined
  let killedAt: number | undefined
  doomed?.once('exit', (_, signal) => {
    if (signal === 'SIGKILL') killedAt = Date.now()
  })
  // A program that cannot connect says so and ends: that is tested elsewhere.
  await Promise.all([client, ...(doomed ? [doomed] : [])].map(connected))
  const broken = breakThings(world, plan.faults, { client, doomed }, plan.seed)
  try {
    await until(() => hasEnded(client), WORK_MS)
    if (client.exitCode !== 0)
      violations.push(`the client ended with ${client.exitCode ?? client.signalCode}`)
  } catch {
    const nodes = world.observer
      .nodes(3000)
      .map(({ name, free, held }) => `${name} has ${free} free, ${held.length} held`)
    const drives = await world.observer.drives().catch(String)
    violations.push(`the client is not done after ${WORK_MS} ms; ${nodes.join('; ')}; ${drives}`)
    client.kill('SIGKILL')
  }
  await broken
  return killedAt
}

const connected = (client: ChildProcess): Promise<unknown> =>
  Promise.race([once(client.stdout as Readable, 'data'), once(client, 'exit')])

/** Slots are free, the queue is empty, the client is gone. */
async function rest(
  world: World,
  mostBytes: number,
  ms: number,
  violations: string[],
): Promise<Store | undefined> {
  let store: Store | undefined
  const atRest = async (): Promise<string | undefined> => {
    store = await world.observer.store().catch(() => undefined)
    if (!store) return 'the servers do not say what they store'
    if (store.queued > 0 || store.pending > 0)
      return `the queue has ${store.queued} chunks, ${store.pending} given out`
    if (store.objectBytes > mostBytes) return `the object store has ${store.objectBytes} bytes`
    if (store.detached > 0) return `${store.detached} messages of detached jobs are left`
    const nodes = world.observer.nodes(2000)
    if (nodes.length < world.nodes.length) return `${nodes.length} of ${world.nodes.length} nodes are there`
    const busy = nodes.filter(({ free, slots, held }) => free < slots || held.length > 0)
    return busy.length === 0
      ? undefined
      : busy
          .map(
            ({ name, free, slots, held }) => `${name}: ${free} of ${slots} slots free, ${held.length} held`,
          )
          .join('; ')
  }
  let why: string | undefined
  try {
    await until(async () => (why = await atRest()) === undefined, ms)
  } catch {
    violations.push(`not at rest after ${ms} ms: ${why}`)
  }
  return store
}

/** Nodes leave when they are asked to; nothing stays behind. */
async function leave(world: World, violations: string[]): Promise<void> {
  for (const name of await world.dismiss(DRAIN_MS))
    violations.push(`the ${name} did not leave when it was told to`)
  await world.stopServers()
  let left = processesOf(world.folder)
  try {
    await until(() => (left = processesOf(world.folder)).length === 0, GRACE_MS)
  } catch {
    for (const { pid, command } of left) violations.push(`the process ${pid} was left behind: ${command}`)
  }
  for (const folder of readdirSync(world.folder).filter((name) => name.startsWith('tmp-'))) {
    // Those of the loader that the programs of this suite use.
    const files = readdirSync(join(world.folder, folder)).filter(
      (name) => !/^(tsx-|node-compile-cache)/.test(name),
    )
    if (files.length > 0) violations.push(`files were left in ${folder}: ${files.join(', ')}`)
  }
}
