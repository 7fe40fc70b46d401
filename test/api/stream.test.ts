import { connect, InputError } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect, rejection, shared, until } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

/** Counts how far it was read, and whether it was closed. */
function counting(length: number) {
  const state = { read: 0, closed: false }
  function* items(): Generator<number> {
    try {
      for (let i = 0; i < length; i++) {
        state.read++
        yield i
      }
    } finally {
      state.closed = true
    }
  }
  return { state, items: items() }
}

describe('stream', () => {
  it('yields index, input and value of every task', async () => {
    const square = cluster.distribute((n: number) => n * n)
    const items = await collect(square.stream([3, 4, 5]))
    expect(items.sort((a, b) => a.index - b.index)).toEqual([
      { index: 0, input: 3, value: 9 },
      { index: 1, input: 4, value: 16 },
      { index: 2, input: 5, value: 25 },
    ])
  })

  it('yields as they complete', async () => {
    // The first task ends only after the second one has been seen.
    const gate = shared()
    const wait = cluster.distribute(async ({ i, gate }: { i: number; gate: Int32Array }) => {
      while (i === 0 && Atomics.load(gate, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      return i
    })
    const seen: number[] = []
    for await (const { value } of wait.stream([
      { i: 0, gate },
      { i: 1, gate },
    ])) {
      seen.push(value)
      if (value === 1) Atomics.store(gate, 0, 1)
    }
    expect(seen).toEqual([1, 0])
  })

  it('yields in the order of the inputs when asked to', async () => {
    const wait = cluster.distribute(async (n: number) => {
      await new Promise((resolve) => setTimeout(resolve, (n * 7) % 5))
      return n
    })
    const inputs = Array.from({ length: 60 }, (_, i) => i)
    const items = await collect(wait.stream(inputs, { ordered: true }))
    expect(items.map(({ value }) => value)).toEqual(inputs)
    expect(items.map(({ input }) => input)).toEqual(inputs)
  })

  it.each([1, 2, 10])('reads no more than %i inputs ahead of the consumer', async (bufferSize) => {
    const { state, items } = counting(60)
    const f = cluster.distribute((n: number) => n)
    let yielded = 0
    let most = 0
    for await (const _ of f.stream(items, { bufferSize })) {
      // Time in which it would read on if it did not wait for us.
      if (yielded % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10))
      most = Math.max(most, state.read - yielded)
      yielded++
    }
    expect(yielded).toBe(60)
    expect(most).toBeLessThanOrEqual(bufferSize)
    expect(most).toBe(bufferSize)
    expect(state.closed).toBe(true)
  })

  it('bounds what it reads when nothing is said about it', async () => {
    const { state, items } = counting(1_000_000)
    const f = cluster.distribute((n: number) => n)
    const stream = f.stream(items)
    await stream.next()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(state.read).toBeLessThan(20_000)
    await stream.return()
    expect(state.closed).toBe(true)
  })

  it('begins with the first request, not before', async () => {
    const { state, items } = counting(3)
    const stream = cluster.distribute((n: number) => n).stream(items)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(state.read).toBe(0)
    expect(await collect(stream)).toHaveLength(3)
  })

  it('over nothing yields nothing', async () => {
    const f = cluster.distribute((n: number) => n)
    expect(await collect(f.stream([]))).toEqual([])
    expect(await collect(f.stream(new Set<number>(), { ordered: true, settled: true }))).toEqual([])
  })

  it('stops the work and closes the generator when the consumer breaks', async () => {
    const { state, items } = counting(1_000_000)
    const f = cluster.distribute((n: number) => n)
    let taken = 0
    for await (const _ of f.stream(items, { bufferSize: 5 })) if (++taken === 20) break
    expect(state.closed).toBe(true)
    expect(state.read).toBeLessThanOrEqual(25)
  })

  it('stops the work and closes an async generator when the consumer throws', async () => {
    let closed = false
    async function* endless(): AsyncGenerator<number> {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed = true
      }
    }
    const f = cluster.distribute((n: number) => n)
    const consume = async (): Promise<void> => {
      for await (const _ of f.stream(endless())) throw new Error('consumer')
    }
    expect(await rejection(consume())).toMatchObject({ message: 'consumer' })
    await until(() => closed)
    expect(await f(1)).toBe(1)
  })

  it('throws the first error after the results before it', async () => {
    const f = cluster.distribute((n: number) => {
      if (n === 5) throw new RangeError('five')
      return n
    })
    const seen: number[] = []
    const consume = async (): Promise<void> => {
      for await (const { value } of f.stream(counting(1000).items, { bufferSize: 1 })) seen.push(value)
    }
    expect(await rejection(consume())).toBeInstanceOf(RangeError)
    expect(seen).toEqual([0, 1, 2, 3, 4])
  })

  it('yields failures too when settled', async () => {
    const f = cluster.distribute((n: number) => {
      if (n % 2) throw new RangeError(`odd ${n}`)
      return n
    })
    const items = await collect(f.stream([0, 1, 2, 3], { settled: true, ordered: true }))
    expect(items.map((item) => (item.status === 'fulfilled' ? item.value : item.reason.message))).toEqual([
      0,
      'odd 1',
      2,
      'odd 3',
    ])
    expect(items.map(({ index, input }) => [index, input])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ])
  })

  it.each([
    ['a generator', false],
    ['an async generator', true],
  ])('gives the results of what was read before %s threw', async (_, later) => {
    function* broken(): Generator<number> {
      yield 1
      yield 2
      throw new Error('broken')
    }
    async function* brokenLater(): AsyncGenerator<number> {
      yield* broken()
    }
    const f = cluster.distribute((n: number) => n * 10)
    for (const ordered of [false, true]) {
      const seen: number[] = []
      const consume = async (): Promise<void> => {
        for await (const { value } of f.stream(later ? brokenLater() : broken(), { ordered }))
          seen.push(value)
      }
      expect(await rejection(consume())).toBeInstanceOf(InputError)
      expect(seen.sort()).toEqual([10, 20])
    }
  })

  it('takes async inputs as they come, without waiting for a full buffer', async () => {
    let feed: (n: number) => void = () => {}
    async function* fed(): AsyncGenerator<number> {
      for (;;) yield await new Promise<number>((resolve) => (feed = resolve))
    }
    const stream = cluster.distribute((n: number) => n + 1).stream(fed(), { bufferSize: 10 })
    for (const n of [1, 2, 3]) {
      const next = stream.next()
      await new Promise((resolve) => setTimeout(resolve, 2))
      feed(n)
      expect((await next).value).toMatchObject({ value: n + 1 })
    }
    await stream.return()
  })

  it('takes 50,000 inputs of an async generator that never waits', async () => {
    async function* quick(): AsyncGenerator<number> {
      for (let i = 0; i < 50_000; i++) yield i
    }
    let sum = 0
    for await (const { value } of cluster.distribute((n: number) => n).stream(quick())) sum += value
    expect(sum).toBe((50_000 * 49_999) / 2)
  })

  it('takes an iterator whose thenables call back at once, without using up the stack', async () => {
    let i = 0
    const inputs = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const step = { done: i >= 30_000, value: i++ }
          // biome-ignore lint/suspicious/noThenProperty: what is tested
          return { then: (call: (step: unknown) => void) => call(step) } as never
        },
      }),
    }
    const results = await cluster.distribute((n: number) => n).map(inputs)
    expect(results.length).toBe(30_000)
    expect(results[29_999]).toBe(29_999)
  })

  it('is checked at once', () => {
    const f = cluster.distribute((n: number) => n)
    expect(() => f.stream([1], { bufferSize: 0 })).toThrow(
      /`bufferSize` to be a whole number from 1 up, got 0/,
    )
    expect(() => f.stream([1], { ordered: 'yes' as never })).toThrow(/`ordered` to be true or false/)
  })
})
