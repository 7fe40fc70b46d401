/** Limits of slots: heap, private memory, core files, environment, time. */
import { type Cluster, connect, OutOfMemoryError } from 'dicomp'
import { afterEach, expect, test } from 'vitest'
import { diedOfMemory, heapMegabytes, MemoryWatch, residentBytes } from '../../src/slot/memory.ts'
import { eventually } from './leftovers.ts'

let cluster: Cluster
afterEach(() => cluster?.close())

const heapLimit = (): number =>
  process.getBuiltinModule('node:v8').getHeapStatistics().heap_size_limit / 2 ** 20
/** V8 counts its young generation in; its size depends on the version. */
const YOUNG = 200

test.each(['thread', 'process'] as const)('%s: the heap is what is asked for', async (isolation) => {
  cluster = await connect({ slots: 1, isolation, memory: '512MiB' })
  const limit = await cluster.distribute(heapLimit)()
  expect(limit).toBeGreaterThanOrEqual(512)
  expect(limit).toBeLessThan(512 + YOUNG)
})

test.each(['thread', 'process'] as const)(
  '%s: without a limit, all heaps together fit memory',
  async (isolation) => {
    cluster = await connect({ slots: 3, isolation })
    const limit = await cluster.distribute(heapLimit)()
    const expected = heapMegabytes(undefined, 3)
    expect(expected).toBeGreaterThanOrEqual(256)
    expect(limit).toBeGreaterThanOrEqual(expected)
    expect(limit).toBeLessThan(expected + YOUNG)
  },
)

test('process: the system limits private memory, and writes no core files', async () => {
  cluster = await connect({ slots: 1, isolation: 'process', memory: '512MiB' })
  const read = cluster.distribute(() =>
    process.getBuiltinModule('node:fs').readFileSync('/proc/self/limits', 'utf8'),
  )
  const limits = await read()
  expect(limits).toMatch(/Max core file size\s+0 /)
  // What Node.js itself reserves, up to 1 GB, comes on top.
  const data = Number(/Max data size\s+(\d+)/.exec(limits)?.[1]) / 2 ** 20
  expect(data).toBeGreaterThan(512 + 256)
  expect(data).toBeLessThanOrEqual(512 + 256 + 1024)
})

test('process: a slot survives a buffer that it was refused', async () => {
  cluster = await connect({ slots: 1, isolation: 'process', memory: '64MiB' })
  const f = cluster.distribute((size: number) => [process.pid, Buffer.alloc(size).length] as const)
  const [pid] = await f(10)
  await expect(f(3e9)).rejects.toBeInstanceOf(OutOfMemoryError)
  expect(await f(20)).toEqual([pid, 20])
})

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
test.runIf(major > 22 || (major === 22 && minor >= 16))(
  'thread: buffers outside of the heap count',
  async () => {
    cluster = await connect({ slots: 2, isolation: 'thread', memory: '64MiB' })
    const fill = cluster.distribute(async (x: number) => {
      const all: Buffer[] = []
      while (x === 1) {
        all.push(Buffer.alloc(4 << 20, 1))
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      return x
    })
    const outcomes = await fill.settled([0, 1, 2])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(outcomes[1]).toMatchObject({ reason: { code: 'DICOMP_E_OUT_OF_MEMORY', limit: 64 * 2 ** 20 } })
  },
)

test.each(['thread', 'process'] as const)(
  '%s: only usual and given variables of the environment',
  async (isolation) => {
    process.env.DICOMP_TEST_SECRET = 'hidden'
    cluster = await connect({ slots: 1, isolation, env: { GIVEN: 'yes' } })
    const env = await cluster.distribute(() => ({ ...process.env }))()
    delete process.env.DICOMP_TEST_SECRET
    expect(env).toMatchObject({ GIVEN: 'yes', PATH: process.env.PATH })
    expect(Object.keys(env)).not.toContain('DICOMP_TEST_SECRET')
    expect(Object.keys(env)).not.toContain('NODE_OPTIONS')
  },
)

test.each(['thread', 'process'] as const)(
  '%s: a timeout does not count the time to load the code',
  async (isolation) => {
    cluster = await connect({ slots: 1, isolation })
    const url = new URL('fixtures/slow-module.mjs', import.meta.url)
    const slow = cluster.distribute.module<(x: number) => number>(url, 'default', { timeout: 400 })
    expect(await slow(21)).toBe(42)
  },
)

test('the watch looks while something runs, and once too much is found says so once', async () => {
  let bytes = 10
  let looks = 0
  const exceeded: number[] = []
  const read = (): number => {
    looks++
    return bytes
  }
  const watch = new MemoryWatch(100, read, (found) => exceeded.push(found))
  watch.begin()
  await eventually(() => expect(looks).toBeGreaterThan(1))
  watch.end()
  await new Promise((resolve) => setTimeout(resolve, 250))
  const before = looks
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(looks).toBe(before)
  watch.begin()
  bytes = 101
  await eventually(() => expect(exceeded).toEqual([101]))
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect(exceeded).toEqual([101])
  watch.stop()
})

test('resident memory of a process; of none when it is gone', () => {
  expect(residentBytes(process.pid)).toBeGreaterThan(20e6)
  expect(residentBytes(2 ** 22 + 1)).toBeUndefined()
})

test.each([
  ['FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory', true],
  [
    'FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory',
    true,
  ],
  ["terminate called after throwing an instance of 'std::bad_alloc'", true],
  ['# Fatal process out of memory: Zone', true],
  ['Error: the heap of potatoes is out of stock', false],
  ['', false],
])('last words %j', (words, memory) => {
  expect(diedOfMemory(words)).toBe(memory)
})
