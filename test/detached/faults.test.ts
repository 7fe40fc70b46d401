/** Whatever dies: every task has exactly one outcome, and those that had one are not run again. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import type { DetachedJob } from '../../src/api/detached.ts'
import { readOutcomes } from '../../src/detached/record.ts'
import { Store } from '../../src/detached/store.ts'
import { last, scan } from '../../src/detached/stream.ts'
import { DRIVE, detached, streamOfKind } from '../../src/nats/detached.ts'
import { inboxOf } from '../../src/nats/subjects.ts'
import { start } from '../cli/command.ts'
import { setUp, until } from './world.ts'

vi.setConfig({ testTimeout: 120_000 })
const world = setUp()
const TASKS = 400
/** No sweep within a test: what is shown does not depend on it. */
const NEVER = 600_000

/** Each execution leaves a line. */
async function run({ file, n, ms = 8 }: { file: string; n: number; ms?: number }): Promise<number> {
  appendFileSync(file, `${n}\n`)
  await new Promise((resolve) => setTimeout(resolve, ms))
  return 3 * n
}

async function submitted(file: string, ms?: number): Promise<DetachedJob<number>> {
  const cluster = await world.client()
  const inputs = Array.from({ length: TASKS }, (_, n) => ({ file, n, ...(ms && { ms }) }))
  return cluster.distribute(run).submit(inputs, { detached: true })
}

const driverProcess = () => start(['drive', world.nats.url, '--json'], { env: { NODE_NO_WARNINGS: '1' } })
const executions = (file: string): number[] =>
  existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []

/** How often each task has an outcome in the store. */
async function outcomes(id: string): Promise<Map<number, number>> {
  const store = new Store(await world.connection())
  const { pool } = store.connection
  const counts = new Map<number, number>()
  for await (const { data } of scan(store.connection, store.stream('R'), detached.out(pool, id))) {
    for (const { start, count, ignore } of readOutcomes(data)?.entries ?? [])
      for (let at = 0; at < count; at++)
        if (!ignore.includes(at)) counts.set(start + at, (counts.get(start + at) ?? 0) + 1)
  }
  return counts
}

/** Takes jobs as a driver does, and does nothing with them. @returns how to answer for one */
async function taker() {
  const { nc, pool, identity } = await world.connection()
  const take = async (id: string): Promise<(answer: string) => void> => {
    const subscription = nc.subscribe(`${inboxOf(identity)}.taken`, { max: 1 })
    const next = `$JS.API.CONSUMER.MSG.NEXT.${streamOfKind('Q', pool)}.${DRIVE}`
    nc.publish(next, JSON.stringify({ batch: 1 }), { reply: `${inboxOf(identity)}.taken` })
    for await (const { subject, reply = '' } of subscription) {
      expect(subject).toBe(detached.todo(pool, id))
      return (answer) => nc.publish(reply, answer)
    }
    throw new Error('nothing came')
  }
  return { take }
}

async function expectAll(job: DetachedJob<number>): Promise<void> {
  await expectOutcomes(job)
  await until(async () => Object.values(await world.messages()).every((count) => count === 0))
}

async function expectOutcomes(job: DetachedJob<number>): Promise<void> {
  expect(await job.results()).toEqual(Array.from({ length: TASKS }, (_, n) => 3 * n))
  const counts = await outcomes(job.id)
  expect(counts.size).toBe(TASKS)
  expect(Math.max(...counts.values())).toBe(1)
  expect(await job.progress()).toMatchObject({ done: TASKS, failed: 0, running: 0, queued: 0 })
  await job.remove()
}

test('a driver that is killed midway is replaced; what had a result is not run again', async () => {
  await world.node()
  const first = driverProcess()
  await until(() => first.output.stdout.includes('driving'))
  const file = world.newFile()
  const job = await submitted(file)
  await until(async () => (await outcomes(job.id)).size > TASKS / 4)
  first.child.kill('SIGKILL')
  await first.ended
  const before = [...(await outcomes(job.id)).keys()]
  expect(before.length).toBeLessThan(TASKS)
  await world.driver()
  await expectAll(job)
  const runs = executions(file)
  for (const index of before) expect(runs.filter((n) => n === index)).toHaveLength(1)
})

test('a driver that stands still is replaced, and does no harm when it wakes', async () => {
  await world.node()
  const first = driverProcess()
  await until(() => first.output.stdout.includes('driving'))
  const job = await submitted(world.newFile())
  await until(async () => (await outcomes(job.id)).size > TASKS / 10)
  first.child.kill('SIGSTOP')
  await world.driver()
  await until(() => world.events.some(({ type }) => type === 'took'))
  await until(async () => (await outcomes(job.id)).size > TASKS / 2)
  first.child.kill('SIGCONT')
  await until(() => first.output.stdout.includes('"how":"left"'))
  await expectAll(job)
  first.child.kill('SIGTERM')
  expect((await first.ended).code).toBe(0)
})

test('what a driver leaves to another one is not forgotten when that one dies too', async () => {
  await world.node()
  const first = driverProcess()
  await until(() => first.output.stdout.includes('driving'))
  const job = await submitted(world.newFile(), 40)
  await until(async () => (await outcomes(job.id)).size > 0)
  first.child.kill('SIGSTOP')
  const second = driverProcess()
  await until(() => second.output.stdout.includes('"event":"took"'))
  await world.driver({ sweepMs: NEVER })
  first.child.kill('SIGCONT')
  await until(() => first.output.stdout.includes('"how":"left"'))
  first.child.kill('SIGTERM')
  await first.ended
  second.child.kill('SIGKILL')
  await second.ended
  await expectAll(job)
})

test('a job goes on though one that was taken after it was removed, and its driver dies', async () => {
  await world.node()
  const dying = await taker()
  const job = await submitted(world.newFile())
  await dying.take(job.id)
  const other = await submitted(world.newFile())
  await dying.take(other.id)
  await other.remove()
  // The server looks what it has given out when something is acknowledged.
  await world.driver({ sweepMs: NEVER })
  const next = await submitted(world.newFile())
  await expectOutcomes(next)
  await expectOutcomes(job)
})

test('a job that its queue does not give out any more is found', async () => {
  await world.node()
  const hanging = await taker()
  const job = await submitted(world.newFile())
  const hold = await hanging.take(job.id)
  const holding = setInterval(() => hold('+WPI'), 1000)
  world.ends.push(() => clearInterval(holding))
  await world.driver({ sweepMs: 1000 })
  await expectAll(job)
})

test('a job whose driver has nothing to tell is left to it', async () => {
  // It makes what jobs are stored in.
  await (await world.node()).stop()
  const driver = await world.driver({ sweepMs: 3000 })
  const job = await submitted(world.newFile())
  await until(() => driver.jobs.includes(job.id))
  await world.driver({ sweepMs: 3000 })
  await sleep(8000)
  expect(driver.jobs).toEqual([job.id])
  expect(world.events.map(({ type }) => type)).toEqual(['took'])
  await world.node()
  await expectAll(job)
})

test('jobs that wait for their turn keep it', async () => {
  await (await world.node()).stop()
  const cluster = await world.client()
  const idle = cluster.distribute((n: number) => n)
  const jobs: DetachedJob<number>[] = []
  for (let n = 0; n < 107; n++) jobs.push(await idle.submit([n], { detached: true }))
  const store = new Store(await world.connection())
  const placeOfLast = async () => {
    const subject = detached.todo('main', jobs.at(-1)?.id ?? '')
    return (await last(store.connection, store.stream('Q'), subject))?.sequence
  }
  const before = await placeOfLast()
  // It has a hundred at most.
  const driver = await world.driver({ sweepMs: 100 })
  for (const job of jobs.slice(0, 6)) {
    await until(() => driver.jobs.length === 100)
    await sleep(1000)
    await job.cancel()
    await until(() => !driver.jobs.includes(job.id))
  }
  await until(() => driver.jobs.length === 100)
  expect(await placeOfLast()).toBe(before)
  await Promise.all(jobs.map((job) => job.remove()))
})

test('a driver that is told to end gives its jobs to another one at once', async () => {
  await world.node()
  const first = driverProcess()
  await until(() => first.output.stdout.includes('driving'))
  const job = await submitted(world.newFile())
  await until(async () => (await outcomes(job.id)).size > 0)
  await world.driver()
  first.child.kill('SIGTERM')
  expect((await first.ended).code).toBe(0)
  expect(first.output.stdout).toContain('"how":"stopped"')
  await expectAll(job)
})

test('the server is killed and started again from its disk', async () => {
  await world.node()
  await world.driver()
  const job = await submitted(world.newFile())
  await until(async () => (await outcomes(job.id)).size > TASKS / 4)
  await world.nats.kill('SIGKILL')
  await sleep(500)
  await world.nats.restart()
  await expectAll(job)
})

test('a program that is killed after it has submitted; the results go to another one', async () => {
  await world.node()
  await world.driver()
  const file = world.newFile()
  const input = Array.from({ length: TASKS }, (_, n) => JSON.stringify({ file, n })).join('\n')
  const env = { DICOMP_URL: world.nats.url }
  const client = start(['submit', new URL('task.ts', import.meta.url).pathname, '--json'], { input, env })
  await until(() => client.output.stdout.includes('}'))
  client.child.kill('SIGKILL')
  await client.ended
  const { id } = JSON.parse(client.output.stdout) as { id: string }
  const { stdout, code } = await start(['results', id], { env }).ended
  expect(code).toBe(0)
  expect(stdout.trim().split('\n').map(Number)).toEqual(Array.from({ length: TASKS }, (_, n) => 3 * n))
  expect(executions(file)).toHaveLength(TASKS)
})
