import {
  connect,
  distribute,
  type LogEntry,
  OptionError,
  SlotCrashedError,
  TaskTimeoutError,
  task,
} from 'dicomp'
import { describe, expect, it } from 'vitest'
import { rejection, shared, until, within } from './helpers.ts'

// Distributed at the top: captured as handles. On the cluster of the task that uses them.
const square = distribute((n: number) => n * n)
const fib: (n: number) => Promise<number> = distribute(async (n: number): Promise<number> => {
  if (n < 2) return n
  const [a, b] = await Promise.all([fib(n - 1), fib(n - 2)])
  return a + b
})

describe.each([
  ['1 thread', 1, 'thread'],
  ['2 threads', 2, 'thread'],
  ['1 process', 1, 'process'],
  ['2 processes', 2, 'process'],
] as const)('a task that distributes, on %s', (_, slots, isolation) => {
  it('calls, maps, settles and streams', async () => {
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(async (n: number) => {
      const called = await square(n)
      const mapped = await square.map([n, n + 1])
      const typed = await square.map(new Float64Array([n]))
      const settled = await square.settled([n])
      const streamed: number[] = []
      for await (const { value } of square.stream([n, n], { ordered: true })) streamed.push(value)
      const job = square.submit([n])
      return { called, mapped, typed, settled, streamed, job: await job.results() }
    })
    expect(await within(20_000, outer.map([1, 2, 3]))).toEqual(
      [1, 2, 3].map((n) => ({
        called: n * n,
        mapped: [n * n, (n + 1) * (n + 1)],
        typed: new Float64Array([n * n]),
        settled: [{ status: 'fulfilled', value: n * n }],
        streamed: [n * n, n * n],
        job: [n * n],
      })),
    )
  })

  it('maps over more than is read at once, from a generator', async () => {
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(async (n: number) => {
      function* inputs(): Generator<number> {
        for (let i = 0; i < n; i++) yield i
      }
      async function* later(): AsyncGenerator<number> {
        yield* inputs()
      }
      const [all, same] = [await square.map(inputs()), await square.map(later())]
      return all.length + same.length
    })
    expect(await within(20_000, outer(500))).toBe(1000)
  })

  it('recurs: no depth uses up the slots', async () => {
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(async (n: number) => await fib(n))
    expect(await within(25_000, outer(9))).toBe(34)
  })

  it('tries again inside, with a pause, while it waits', async () => {
    await using here = await connect({ slots, isolation })
    const flaky = here.distribute(async () => {
      const inner = distribute(
        () => {
          if (task.attempt < 3) throw new RangeError('again')
          return task.attempt
        },
        { retries: { count: 2, delay: 1 } },
      )
      const now = distribute(
        () => {
          if (task.attempt < 3) throw new RangeError('again')
          return task.attempt
        },
        { retries: 2 },
      )
      return [await inner(), await inner.map([1, 2]), await now(), await now.map([1])]
    })
    expect(await within(20_000, flaky())).toEqual([3, [3, 3], 3, [3]])
  })

  it('sees errors of the inner task as they are', async () => {
    class Custom extends Error {
      readonly code = 'E_CUSTOM'
      readonly left: number
      constructor(left: number) {
        super('custom', { cause: new TypeError('deep') })
        this.left = left
      }
    }
    const fail = distribute((n: number) => {
      throw new Custom(n)
    })
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(async (n: number) => {
      try {
        await fail(n)
      } catch (error) {
        if (!(error instanceof Custom) || error.left !== n) throw new Error('another class')
        throw error
      }
    })
    const error = await rejection(outer(4))
    expect(error).toBeInstanceOf(Custom)
    expect(error).toMatchObject({ code: 'E_CUSTOM', left: 4, message: 'custom' })
    expect((error as Error).cause).toBeInstanceOf(TypeError)
  })

  it('sees errors of dicomp itself, and of its options', async () => {
    const slow = distribute(() => new Promise(() => {}), { timeout: 50 })
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(async () => {
      const found: boolean[] = []
      await slow().catch((error) => found.push(error instanceof TaskTimeoutError, error.timeout === 50))
      await slow.map([1]).catch((error) => found.push(error instanceof TaskTimeoutError))
      try {
        slow.with({ timeout: -1 })
      } catch (error) {
        found.push(error instanceof OptionError)
      }
      return found
    })
    expect(await within(20_000, outer())).toEqual([true, true, true, true])
  })

  it('inherits the kind of its slot and its environment', async () => {
    await using here = await connect({ slots, isolation })
    const where = distribute(() => [process.env.MARK, process.pid])
    const outer = here.distribute(async () => [[process.env.MARK, process.pid], await where()] as const, {
      env: { MARK: 'x' },
    })
    const [mine, inner] = await within(20_000, outer())
    expect(mine[0]).toBe('x')
    expect(inner[0]).toBe('x')
    expect(inner[1] === process.pid).toBe(isolation === 'thread')
  })

  it('passes on output and progress of the inner task', async () => {
    const seen: LogEntry[] = []
    const progress: unknown[] = []
    await using here = await connect({ slots, isolation })
    const outer = here.distribute(
      async (n: number) => {
        const loud = distribute(
          (m: number) => {
            console.log(`inner ${m}`)
            task.progress(m)
            return m
          },
          { onProgress: (value) => task.progress(['inner', value]) },
        )
        return await loud(n * 10)
      },
      { log: (entry) => seen.push(entry), onProgress: (value, index) => progress.push([value, index]) },
    )
    expect(await within(20_000, outer.map([1, 2]))).toEqual([10, 20])
    const text = (index: number): string =>
      seen
        .filter((entry) => entry.index === index)
        .map((entry) => entry.text)
        .join('')
    expect([text(0), text(1)]).toEqual(['inner 10\n', 'inner 20\n'])
    expect(progress).toHaveLength(2)
    expect(progress).toEqual(
      expect.arrayContaining([
        [['inner', 10], 0],
        [['inner', 20], 1],
      ]),
    )
  })
})

describe('nested work of a slot that ends', () => {
  it('is cancelled', async () => {
    await using here = await connect({ slots: 2 })
    const seen = shared()
    const inner = distribute(async (seen: Int32Array) => {
      Atomics.add(seen, 0, 1)
      const { signal } = task
      while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1))
      Atomics.add(seen, 1, 1)
    })
    const outer = here.distribute(async (seen: Int32Array) => await inner(seen))
    const controller = new AbortController()
    const call = outer.with({ signal: controller.signal })(seen)
    await until(() => Atomics.load(seen, 0) === 1)
    controller.abort()
    expect(await rejection(call)).toMatchObject({ code: 'DICOMP_E_CANCELLED' })
    await until(() => Atomics.load(seen, 1) === 1)
  })

  it('a crash of the inner task is an error of that task', async () => {
    await using here = await connect({ slots: 2, isolation: 'process' })
    const crash = distribute(() => process.exit(9), { retries: { crashes: 1 } })
    const outer = here.distribute(async () => {
      try {
        await crash()
      } catch (error) {
        return [error instanceof SlotCrashedError, (error as SlotCrashedError).exitCode]
      }
    })
    expect(await within(20_000, outer())).toEqual([true, 9])
  })
})

describe('many nested calls', () => {
  it('leave nothing behind in their owner', async () => {
    await using here = await connect({ slots: 2 })
    const outer = here.distribute(async (n: number) => {
      let sum = 0
      for (let i = 0; i < n; i++) sum += await square(i)
      const all = await Promise.all(Array.from({ length: n }, (_, i) => square(i)))
      return [sum, all.reduce((a, b) => a + b, 0)]
    })
    const n = 2000
    const expected = ((n - 1) * n * (2 * n - 1)) / 6
    expect(await within(25_000, outer(n))).toEqual([expected, expected])
  })
})
