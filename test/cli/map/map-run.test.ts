import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MapRun, type MapRunOptions, type Outcome, type TaskRunner } from '../../../src/cli/map/map-run.ts'
import type { Destination, Saver } from '../../../src/cli/map/saver.ts'

type Task = (input: unknown) => unknown

/** Runs tasks here as the engine does: reads inputs ahead, up to `window`, and yields results in or out of order. */
function localRunner(task: Task, window = 3): TaskRunner {
  return {
    async *run(inputs, { ordered, signal }) {
      const source = inputs[Symbol.asyncIterator]()
      const ready = new Map<number, Outcome>()
      let read = 0
      let yielded = 0
      let state = 'idle' as 'idle' | 'reading' | 'ended'
      let wake = () => {}
      const pull = async () => {
        state = 'reading'
        const next = await source.next()
        state = next.done ? 'ended' : 'idle'
        if (!next.done) {
          const index = read++
          void attempt(task, next.value, index).then((outcome) => {
            ready.set(index, outcome)
            wake()
          })
        }
        wake()
      }
      try {
        while (state !== 'ended' || yielded < read) {
          signal.throwIfAborted()
          if (state === 'idle' && read - yielded < window) void pull()
          const next = ordered ? ready.get(yielded) : [...ready.values()][0]
          if (next) {
            ready.delete(next.index)
            yielded++
            yield next
          } else {
            await new Promise<void>((resolve) => {
              wake = resolve
            })
          }
        }
      } finally {
        await source.return?.()
      }
    },
  }
}

async function attempt(task: Task, input: unknown, index: number): Promise<Outcome> {
  try {
    return { index, status: 'fulfilled', value: await task(input) }
  } catch (reason) {
    return { index, status: 'rejected', reason }
  }
}

class MemorySaver implements Saver {
  readonly out: string[] = []
  readonly err: string[] = []
  complete: boolean | undefined
  get saved() {
    return this.out.length + this.err.length
  }
  async add(to: Destination, _: number, text: string | undefined) {
    this[to].push((text ?? '').trimEnd())
  }
  async close(complete: boolean) {
    this.complete = complete
  }
}

async function run(
  text: string,
  task: Task,
  options: Partial<MapRunOptions> = {},
  whileRunning?: (run: MapRun) => void,
) {
  async function* bytes() {
    yield new TextEncoder().encode(text)
  }
  const saver = new MemorySaver()
  const mapRun = new MapRun(
    { name: 'in.jsonl', size: text.length, bytes: bytes(), close() {} },
    { lines: false, unordered: false, keepGoing: false, ...options },
  )
  whileRunning?.(mapRun)
  const stop = await mapRun.run(localRunner(task), async () => saver)
  return { stop, saver, progress: mapRun.progress.snapshot }
}

const lines = (...values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const slowFirst: Task = async (x) => {
  await sleep(x === 1 ? 30 : 1)
  return x
}

test('results are in the order of the input, or as they come', async () => {
  const ordered = await run(lines(1, 2, 3, 4), slowFirst)
  expect(ordered.saver.out).toEqual(['1', '2', '3', '4'])
  expect(ordered.saver.complete).toBe(true)
  const unordered = await run(lines(1, 2, 3, 4), slowFirst, { unordered: true })
  expect(unordered.saver.out.at(-1)).toBe('1')
  expect([...unordered.saver.out].sort()).toEqual(['1', '2', '3', '4'])
})

test('an empty input is complete at once', async () => {
  expect(await run('', slowFirst)).toMatchObject({
    stop: undefined,
    saver: { out: [], complete: true },
    progress: { total: 0 },
  })
})

test('a task that fails ends the run; what came before it is saved', async () => {
  const { stop, saver } = await run(lines(1, 2, 3, 4), (x) => {
    if (x === 3) throw new Error('three')
    return x
  })
  expect(stop).toMatchObject({ why: 'failure', error: { message: 'three' }, record: { line: 3 } })
  expect(saver).toMatchObject({ out: ['1', '2'], complete: false })
})

test('a malformed line ends the run after what came before it', async () => {
  const { stop, saver } = await run('1\n2\noops\n4\n', slowFirst)
  expect(stop).toMatchObject({ why: 'failure', error: { code: 'DICOMP_E_LINE' }, record: { line: 3 } })
  expect(saver).toMatchObject({ out: ['1', '2'], complete: false })
})

test('when a task before a malformed line fails, the task is what is told', async () => {
  const { stop } = await run('1\noops\n', () => {
    throw new Error('one')
  })
  expect(stop).toMatchObject({ why: 'failure', error: { message: 'one' }, record: { line: 1 } })
})

test('with keepGoing, failures are collected and the rest is done', async () => {
  const told: number[] = []
  const { stop, saver, progress } = await run(
    '1\noops\n2\n3\n',
    (x) => {
      if (x === 2) throw new Error('two')
      return x === 3 ? new Map() : x
    },
    { keepGoing: true, onFailure: (record) => told.push(record.line) },
  )
  expect(stop).toBeUndefined()
  expect(saver).toMatchObject({ out: ['1'], complete: true })
  const failures = saver.err
    .map((line) => JSON.parse(line))
    .map(({ line, error, input }) => [line, error.code ?? error.message, input])
  expect(failures.sort()).toEqual([
    [2, 'DICOMP_E_LINE', 'oops'],
    [3, 'two', 2],
    [4, 'DICOMP_E_RESULT', 3],
  ])
  expect(told.sort()).toEqual([2, 3, 4])
  expect(progress).toMatchObject({ done: 1, failed: 3, total: 4 })
})

test('an error that every task would meet ends the run even with keepGoing', async () => {
  const { stop } = await run(
    lines(1, 2),
    () => {
      throw Object.assign(new Error('no module'), { code: 'DICOMP_E_LOAD' })
    },
    { keepGoing: true },
  )
  expect(stop).toMatchObject({ why: 'error', error: { message: 'no module' } })
})

test('an interrupt ends the run soon and keeps what is done', async () => {
  let count = 0
  let current: MapRun | undefined
  const { stop, saver } = await run(
    lines(...Array.from({ length: 1000 }, (_, i) => i)),
    (x) => {
      if (++count === 20) current?.interrupt('SIGINT')
      return x
    },
    {},
    (mapRun) => {
      current = mapRun
    },
  )
  expect(stop).toEqual({ why: 'signal', signal: 'SIGINT' })
  expect(saver.complete).toBe(false)
  expect(saver.out).toEqual(Array.from({ length: saver.out.length }, (_, i) => String(i)))
  expect(count).toBeLessThan(50)
})

test('a saver that fails ends the run with its error', async () => {
  async function* bytes() {
    for (let i = 0; ; i++) yield new TextEncoder().encode(`${i}\n`)
  }
  const mapRun = new MapRun(
    { name: 'x', size: undefined, bytes: bytes(), close() {} },
    { lines: false, unordered: false, keepGoing: true },
  )
  const stop = await mapRun.run(
    localRunner((x) => x),
    async ({ failed }) => ({
      saved: 0,
      async add() {
        failed(new Error('disk full'))
        throw new Error('disk full')
      },
      async close() {
        throw new Error('disk full')
      },
    }),
  )
  expect(stop).toMatchObject({ why: 'error', error: { message: 'disk full' } })
})

test('long lines in flight are bounded by their size', async () => {
  const long = JSON.stringify('x'.repeat(20_000_000))
  async function* bytes() {
    for (let i = 0; i < 8; i++) yield new TextEncoder().encode(`${long}\n`)
  }
  const mapRun = new MapRun(
    { name: 'x', size: undefined, bytes: bytes(), close() {} },
    { lines: false, unordered: false, keepGoing: false },
  )
  let running = 0
  let most = 0
  const task = async () => {
    most = Math.max(most, ++running)
    await sleep(20)
    running--
  }
  expect(await mapRun.run(localRunner(task, 100), async () => new MemorySaver())).toBeUndefined()
  expect(mapRun.progress.snapshot.done).toBe(8)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(4)
})
