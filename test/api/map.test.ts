import { connect, EncodeError, InputError } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rejection, shared, until } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

const numbers = Array.from({ length: 50 }, (_, i) => i)

function* generate<T>(items: readonly T[]): Generator<T> {
  for (const item of items) yield item
}
async function* generateLater<T>(items: readonly T[]): AsyncGenerator<T> {
  for (const item of items) {
    if (Math.random() < 0.2) await new Promise((resolve) => setTimeout(resolve, 1))
    yield item
  }
}

describe('map', () => {
  it.each([
    ['an array', () => numbers],
    ['a frozen array', () => Object.freeze(numbers.slice())],
    ['a Set', () => new Set(numbers)],
    ['the keys of a Map', () => new Map(numbers.map((n) => [n, n])).keys()],
    ['a generator', () => generate(numbers)],
    ['an async generator', () => generateLater(numbers)],
    ['a ReadableStream', () => ReadableStream.from(numbers) as unknown as AsyncIterable<number>],
  ])('over %s gives an array in the order of the inputs', async (_, inputs) => {
    const squares = await cluster.distribute((n: number) => n * n).map(inputs() as Iterable<number>)
    expect(Array.isArray(squares)).toBe(true)
    expect(squares).toEqual(numbers.map((n) => n * n))
  })

  it.each([
    Float64Array,
    Float32Array,
    Int32Array,
    Uint32Array,
    Int16Array,
    Uint16Array,
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
  ])('over %O of numbers gives a Float64Array', async (Type) => {
    const inputs = Type.from(numbers)
    const half = await cluster.distribute((n: number) => n / 2).map(inputs)
    expect(half).toBeInstanceOf(Float64Array)
    expect(half).toEqual(Float64Array.from(numbers, (n) => n / 2))
    expect([...inputs]).toEqual(numbers)
  })

  it('over typed numbers gives an array as soon as one result is no number', async () => {
    const text = cluster.distribute((n: number) => (n === 999 ? 'last' : n))
    const some = await text.map(Int32Array.from({ length: 1000 }, (_, i) => i))
    expect(Array.isArray(some)).toBe(true)
    expect([some[0], some[998], some[999]]).toEqual([0, 998, 'last'])
  })

  it('over big integers', async () => {
    const double = cluster.distribute((n: bigint) => n * 2n)
    expect(await double.map(BigInt64Array.of(1n, -5n))).toEqual([2n, -10n])
    expect(await double.map([2n ** 80n])).toEqual([2n ** 81n])
  })

  it.each([
    ['an array', []],
    ['a Set', new Set<number>()],
    ['a generator', generate<number>([])],
    ['an async generator', generateLater<number>([])],
  ])('over nothing in %s gives an empty array', async (_, inputs) => {
    const result = await cluster.distribute((n: number) => n).map(inputs as Iterable<number>)
    expect(result).toEqual([])
    expect(Array.isArray(result)).toBe(true)
  })

  it('over an empty typed array gives an empty Float64Array', async () => {
    expect(await cluster.distribute((n: number) => n).map(new Uint8Array(0))).toEqual(new Float64Array(0))
  })

  it('passes the input as the only argument', async () => {
    const count = cluster.distribute((...all: unknown[]) => all.length)
    expect(await count.map([1, 2])).toEqual([1, 1])
    expect(await count.map(['a', [1, 2]])).toEqual([1, 1])
  })

  it('passes undefined where the array has a hole', async () => {
    const what = cluster.distribute((value: unknown) => String(value))
    // biome-ignore lint/suspicious/noSparseArray: what is tested
    expect(await what.map([1, , 3])).toEqual(['1', 'undefined', '3'])
  })

  it('keeps every number as it is', async () => {
    const odd = [0, -0, Number.NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31), 2 ** 53, 5e-324, -1.5]
    const back = await cluster.distribute((n: number) => n).map(odd)
    expect(back.map((n) => Object.is(n, -0))).toEqual(odd.map((n) => Object.is(n, -0)))
    expect(back).toEqual(odd)
  })

  it('runs each of 100,000 tasks once', async () => {
    const counts = shared(100_000)
    const count = cluster.distribute(({ i, into }: { i: number; into: Int32Array }) =>
      Atomics.add(into, i, 1),
    )
    const inputs = Array.from({ length: 100_000 }, (_, i) => ({ i, into: counts }))
    expect(new Set(await count.map(inputs))).toEqual(new Set([0]))
    expect(counts.every((n) => n === 1)).toBe(true)
  })

  it('keeps numbers and other values of one map apart', async () => {
    const mixed = Array.from({ length: 5000 }, (_, i) => (i % 7 === 0 ? { i } : i))
    expect(await cluster.distribute((value: unknown) => value).map(mixed)).toEqual(mixed)
  })

  it('rejects with the first error, and the rest is not run', async () => {
    const ran = shared()
    const task = cluster.distribute(({ i, count }: { i: number; count: Int32Array }) => {
      Atomics.add(count, 0, 1)
      if (i === 3) throw new RangeError('three')
      const end = performance.now() + 2
      while (performance.now() < end);
    })
    const error = await rejection(task.map(Array.from({ length: 5000 }, (_, i) => ({ i, count: ran }))))
    expect(error).toBeInstanceOf(RangeError)
    expect((error as Error).message).toBe('three')
    expect(Atomics.load(ran, 0)).toBeLessThan(5000)
  })

  it('rejects when a task throws undefined', async () => {
    const odd = cluster.distribute((n: number) => {
      if (n === 1) throw undefined
      return n
    })
    expect(await rejection(odd.map([0, 1, 2]))).toBe(undefined)
    expect(await rejection(odd(1))).toBe(undefined)
  })

  it('names the input that cannot travel', async () => {
    const echo = cluster.distribute((value: unknown) => value)
    const error = (await rejection(echo.map([1, 2, { a: [Promise.resolve(1)] }]))) as EncodeError
    expect(error).toBeInstanceOf(EncodeError)
    expect(error.path).toBe('inputs[2].a[0]')
  })

  it('rejects with an InputError when the iterable throws', async () => {
    const f = cluster.distribute((n: number) => n)
    const cause = new Error('disk on fire')
    const broken = function* (): Generator<number> {
      yield 1
      yield 2
      throw cause
    }
    const brokenLater = async function* (): AsyncGenerator<number> {
      yield* broken()
    }
    for (const inputs of [broken(), brokenLater()]) {
      const error = (await rejection(f.map(inputs))) as InputError
      expect(error).toBeInstanceOf(InputError)
      expect(error).toMatchObject({ code: 'DICOMP_E_INPUT', index: 2, cause })
      expect(error.message).toContain('disk on fire')
    }
  })

  it('rejects when the iterable throws undefined, or is broken', async () => {
    const f = cluster.distribute((n: number) => n)
    const odd = function* (): Generator<number> {
      yield 1
      throw undefined
    }
    expect(await rejection(f.map(odd()))).toBeInstanceOf(InputError)
    const sync = { [Symbol.iterator]: () => ({ next: () => 5 as never }) }
    const later = { [Symbol.asyncIterator]: () => ({ next: async () => 5 as never }) }
    const none = { [Symbol.iterator]: () => ({ next: () => undefined as never }) }
    for (const inputs of [sync, later, none])
      expect(await rejection(f.map(inputs))).toBeInstanceOf(InputError)
  })

  it('closes the iterator of a map that fails', async () => {
    let closed = false
    const endless = function* (): Generator<number> {
      try {
        for (let i = 0; ; i++) yield i
      } finally {
        closed = true
      }
    }
    const f = cluster.distribute((n: number) => {
      if (n === 100) throw new Error('enough')
      return n
    })
    expect(await rejection(f.map(endless()))).toMatchObject({ message: 'enough' })
    await until(() => closed)
  })

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['a number', 5],
    ['an object', { length: 2 }],
    ['a function', () => 1],
  ])('refuses %s as inputs', async (_, inputs) => {
    const f = cluster.distribute((n: number) => n)
    const error = await rejection(f.map(inputs as never))
    expect(error).toMatchObject({ name: 'OptionError', code: 'DICOMP_E_OPTION' })
    expect((error as Error).message).toContain('an array, an iterable or an async iterable')
  })
})

describe('settled', () => {
  const half = (n: number): number => {
    if (n % 2) throw new TypeError(`odd ${n}`)
    return n / 2
  }

  it('has an outcome for every input', async () => {
    const outcomes = await cluster.distribute(half).settled([0, 1, 2, 3])
    expect(outcomes.map((outcome) => outcome.status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
    ])
    expect(outcomes[2]).toEqual({ status: 'fulfilled', value: 1 })
    const { reason } = outcomes[1] as PromiseRejectedResult
    expect(reason).toBeInstanceOf(TypeError)
    expect(reason.message).toBe('odd 1')
  })

  it.each([
    ['typed numbers', (): Iterable<number> => Int32Array.of(0, 1, 2)],
    ['a generator', () => generate([0, 1, 2])],
    ['an async generator', () => generateLater([0, 1, 2])],
  ])('also over %s', async (_, inputs) => {
    const outcomes = await cluster.distribute(half).settled(inputs())
    expect(outcomes.map((outcome) => ('value' in outcome ? outcome.value : outcome.reason.message))).toEqual([
      0,
      'odd 1',
      1,
    ])
  })

  it('has an array with a failure at its end', async () => {
    const outcomes = await cluster.distribute(half).settled(generate([2, 1]))
    expect(outcomes.length).toBe(2)
  })

  it('over nothing is empty', async () => {
    expect(await cluster.distribute(half).settled([])).toEqual([])
  })

  it('refuses single inputs and runs their neighbours', async () => {
    const echo = cluster.distribute((value: unknown) => value)
    const outcomes = await echo.settled([1, Symbol('no'), 'three', () => 4, { five: 5 }])
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ])
    expect((outcomes[3] as PromiseRejectedResult).reason.path).toBe('inputs[3]')
  })

  it('counts a refused input once when a neighbour kills its slot', async () => {
    await using processes = await connect({ slots: 1, isolation: 'process' })
    const risky = processes.distribute((value: unknown) => {
      if (value === 'die') process.exit(7)
      return value
    })
    const warm = Array.from({ length: 40 }, (_, i) => `w${i}`)
    const job = risky.submit([...warm, () => 1, 'die', 'after'])
    const outcomes = await job.settled()
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...warm.map(() => 'fulfilled'),
      'rejected',
      'rejected',
      'fulfilled',
    ])
    expect((outcomes[40] as PromiseRejectedResult).reason).toBeInstanceOf(EncodeError)
    expect((outcomes[41] as PromiseRejectedResult).reason.code).toBe('DICOMP_E_SLOT_CRASHED')
    expect(job.progress).toMatchObject({ total: 43, done: 41, failed: 2, running: 0, queued: 0 })
  })
})
