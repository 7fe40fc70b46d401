import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CancelledError, DeadlineError, EncodeError, JobError, OptionError } from '../../src/errors.ts'
import { setUp, until } from './world.ts'

const world = setUp()

/** Ends when the file is there; leaves a line beside it when it begins. */
async function wait({ file, n }: { file: string; n: number }): Promise<number> {
  appendFileSync(`${file}.begun`, `${n}\n`)
  while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10))
  return n
}
const begun = (file: string): string[] => {
  if (!existsSync(`${file}.begun`)) return []
  return readFileSync(`${file}.begun`, 'utf8').trim().split('\n')
}

test('a job goes on without the program that submitted it; another one has its results', async () => {
  await world.node()
  await world.driver()
  const first = await world.client()
  const job = await first
    .distribute((n: number) => n * n, { name: 'square' })
    .submit([1, 2, 3, 4], {
      detached: true,
    })
  await first.close()
  const second = await world.client()
  const found = await second.job(job.id)
  expect(await found.results()).toEqual([1, 4, 9, 16])
  expect(await found.settled()).toHaveLength(4)
  expect(found.name).toBe('square')
  expect(await found.done()).toBe('done')
  expect(await second.jobs()).toMatchObject([
    { id: job.id, state: 'done', user: 'anyone', progress: { total: 4, done: 4, failed: 0, running: 0 } },
  ])
  await found.remove()
  expect(await second.jobs()).toEqual([])
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
  await expect(found.state()).rejects.toThrow(JobError)
  await expect(second.job('nothing')).rejects.toThrow('There is no job "nothing" in the pool main')
})

test('captured values, large arguments and results, mixed inputs of any iterable', async () => {
  await world.node()
  await world.driver()
  const cluster = await world.client()
  const factor = { by: 3 }
  const triple = cluster.distribute((x: unknown) => (typeof x === 'number' ? x * factor.by : x))
  const inputs = [...Array.from({ length: 1500 }, (_, n) => n), 'text', 7, { deep: [1, 2n] }]
  const job = await triple.submit(inputs, { detached: true })
  const results = await job.results()
  expect(results.slice(0, 1500)).toEqual(Array.from({ length: 1500 }, (_, n) => 3 * n))
  expect(results.slice(1500)).toEqual(['text', 21, { deep: [1, 2n] }])

  const bytes = new Uint8Array(1_500_000).map((_, at) => at * 7)
  const grow = cluster.distribute((part: Uint8Array) => [part, part.length])
  const large = await grow.submit(
    (async function* () {
      yield bytes
      yield bytes.subarray(0, 10)
    })(),
    { detached: true },
  )
  const [[same, size], [few]] = (await large.results()) as [[Uint8Array, number], [Uint8Array]]
  expect(size).toBe(bytes.length)
  expect(Buffer.compare(same, bytes)).toBe(0)
  expect([...few]).toEqual([...bytes.subarray(0, 10)])
  for (const { id } of await cluster.jobs()) await (await cluster.job(id)).remove()
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
})

test('a hundred thousand numbers', async () => {
  await world.node()
  await world.driver()
  const cluster = await world.client()
  const job = await cluster
    .distribute((n: number) => n + 1)
    .submit(new Float64Array(100_000).fill(1), {
      detached: true,
    })
  const results = await job.results()
  expect(results.length).toBe(100_000)
  expect(results.every((value) => value === 2)).toBe(true)
  await job.remove()
})

test('instances of captured classes: as such where the job came from, as plain objects elsewhere', async () => {
  class Point {
    x: number
    constructor(x: number) {
      this.x = x
    }
  }
  await world.node()
  await world.driver()
  const cluster = await world.client()
  const job = await cluster.distribute((x: number) => new Point(x)).submit([1], { detached: true })
  const [point] = await job.results()
  expect(point).toBeInstanceOf(Point)
  const [plain] = await (await (await world.client()).job(job.id)).results()
  expect(plain).toEqual({ x: 1 })
  await job.remove()
})

test('failures: tried again as often as asked, told with their index, retried alone afterwards', async () => {
  await world.node()
  await world.driver()
  const cluster = await world.client()
  const file = world.newFile()
  const fails = cluster.distribute(({ file, n }: { file: string; n: number }) => {
    appendFileSync(`${file}.begun`, `${n}\n`)
    if (n % 2 === 1 && !existsSync(file)) throw new RangeError(`odd ${n}`)
    return n
  })
  const inputs = [0, 1, 2, 3].map((n) => ({ file, n }))
  const job = await fails.submit(inputs, { detached: true, retries: { count: 1, delay: 1 } })
  expect(await job.done()).toBe('failed')
  expect(begun(file).sort()).toEqual(['0', '1', '1', '2', '3', '3'])
  expect(await job.progress()).toMatchObject({ done: 2, failed: 2, retries: 2 })
  const outcomes = await job.settled()
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected'])
  expect((outcomes[3] as PromiseRejectedResult).reason).toBeInstanceOf(RangeError)
  await expect(job.results()).rejects.toThrow(/odd [13]/)

  world.allow(file)
  await job.retry()
  expect(await job.done()).toBe('done')
  expect(await job.results()).toEqual([0, 1, 2, 3])
  expect(begun(file).sort()).toEqual(['0', '1', '1', '1', '2', '3', '3', '3'])
  await expect(job.retry()).rejects.toThrow('No task of the job')
  await job.remove()
})

test('cancelled: what runs is stopped, the rest never begins, the results stay; retry goes on', async () => {
  await world.node({ slots: 1 })
  await world.driver()
  const cluster = await world.client()
  const file = world.newFile()
  const job = await cluster
    .distribute(async ({ n }: { n: number }) => {
      if (n > 0) await wait({ file, n })
      return n
    })
    .submit(
      Array.from({ length: 50 }, (_, n) => ({ n })),
      { detached: true },
    )
  await until(() => begun(file).length === 1)
  await until(async () => (await job.progress()).done === 1)
  await job.cancel()
  expect(await job.done()).toBe('cancelled')
  await expect(job.results()).rejects.toThrow(CancelledError)
  const seen: number[] = []
  await expect(
    (async () => {
      for await (const { index } of job) seen.push(index)
    })(),
  ).rejects.toThrow(CancelledError)
  expect(seen).toEqual([0])
  expect(begun(file).length).toBeLessThan(50)
  world.allow(file)
  await job.retry()
  expect(await job.results()).toEqual(Array.from({ length: 50 }, (_, n) => n))
  await job.remove()
})

test('a job that is removed while it runs ends, and leaves nothing', async () => {
  await world.node()
  const driver = await world.driver()
  const cluster = await world.client()
  const file = world.newFile()
  const job = await cluster.distribute(wait).submit([{ file, n: 1 }], { detached: true })
  await until(() => begun(file).length === 1)
  await job.remove()
  await until(() => driver.jobs.length === 0)
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
})

test('what tasks print is kept, and can be followed', async () => {
  await world.node()
  await world.driver()
  const cluster = await world.client()
  const file = world.newFile()
  const job = await cluster
    .distribute(async (n: number) => {
      console.log('begin', n)
      await wait({ file, n })
      console.error('end', n)
    })
    .submit([1], { detached: true })
  const texts: string[] = []
  for await (const { index, stream, text } of job.logs({ follow: true })) {
    texts.push(`${index} ${stream} ${text}`)
    world.allow(file)
  }
  expect(texts).toEqual(['0 stdout begin 1\n', '0 stderr end 1\n'])
  const again: string[] = []
  for await (const { text } of job.logs()) again.push(text)
  expect(again).toEqual(['begin 1\n', 'end 1\n'])
  await job.remove()
})

test('a deadline ends the job; without a node it says what it waits for', async () => {
  await world.node()
  const driver = await world.driver()
  await Promise.all(world.ends.splice(0, 1).map((end) => end()))
  const cluster = await world.client()
  const job = await cluster
    .distribute((n: number) => n)
    .submit([1], { detached: true, tags: ['gpu'], deadline: '3s' })
  await until(async () => (await job.info()).waiting !== undefined)
  expect((await job.info()).waiting).toContain('no node is in the pool main')
  await expect(job.results()).rejects.toThrow(DeadlineError)
  expect(driver.jobs).toEqual([])
  await job.remove()
})

test('what cannot be part of it is refused, and leaves nothing', async () => {
  await world.node()
  const cluster = await world.client()
  const plain = cluster.distribute((x: unknown) => x)
  const detached = true as const
  const when = () => true
  await expect(plain.submit([1], { detached, retries: { count: 1, when } })).rejects.toThrow(OptionError)
  await expect(plain.submit([1], { detached, log: () => {} })).rejects.toThrow('`log` cannot be part of it')
  await expect(plain.submit([1, () => 1], { detached })).rejects.toThrow(EncodeError)
  await expect(plain.submit([1, Promise.resolve()], { detached })).rejects.toThrow('inputs[1]')
  await expect(plain.submit([1], { detached, keep: '100d' })).rejects.toThrow('Expected `keep`')
  expect(() => plain.submit([1], { keep: '1d' } as never)).toThrow('There is no option `keep`')
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
})
