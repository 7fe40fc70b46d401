import { connect, EncodeError, transfer } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rejection, shared } from './helpers.ts'

const levels = ['thread', 'process'] as const
let clusters: Record<(typeof levels)[number], Awaited<ReturnType<typeof connect>>>
beforeAll(async () => {
  clusters = {
    thread: await connect({ slots: 2 }),
    process: await connect({ slots: 1, isolation: 'process' }),
  }
})
afterAll(() => Promise.all([clusters.thread.close(), clusters.process.close()]))

class Vector {
  readonly x: number
  readonly y: number
  constructor(x: number, y: number) {
    this.x = x
    this.y = y
  }
  plus(other: Vector): Vector {
    return new Vector(this.x + other.x, this.y + other.y)
  }
}

describe.each(levels)('values of a %s', (level) => {
  it('are of every kind that structured clone knows, and come back equal', async () => {
    const value = {
      date: new Date(5),
      regexp: /a+/gi,
      map: new Map<unknown, unknown>([[{ k: 1 }, new Set([1n, -0])]]),
      bytes: Uint8Array.of(1, 2, 3),
      buffer: new ArrayBuffer(8),
      view: new DataView(new ArrayBuffer(4)),
      error: new RangeError('r'),
      url: new URL('https://example.org/a?b=c'),
      nothing: [null, undefined, Number.NaN, Infinity],
      text: 'ünïcödé 🎉 \u0000',
      boxed: [Object(1), Object('s')],
    }
    const echo = clusters[level].distribute((given: unknown) => given)
    expect(await echo(value)).toEqual(value)
    expect((await echo.map([value, value]))[1]).toEqual(value)
  })

  it('may be instances of classes that the function knows', async () => {
    const add = clusters[level].distribute((a: Vector, b: Vector) => {
      if (!(a instanceof Vector)) throw new Error('another class')
      return a.plus(b)
    })
    const sum = await add(new Vector(1, 2), new Vector(3, 4))
    expect(sum).toBeInstanceOf(Vector)
    expect(sum.plus(new Vector(1, 1))).toEqual(new Vector(5, 7))
    const all = await clusters[level].distribute((n: number) => ({ list: [new Vector(n, n)] })).map([1, 2])
    expect(all[1]?.list[0]).toBeInstanceOf(Vector)
  })

  it('of 8 MB travel', async () => {
    const data = new Float64Array(1 << 20).fill(1.5)
    const half = await clusters[level].distribute((numbers: Float64Array) => numbers.map((n) => n / 3))(data)
    expect(half.length).toBe(data.length)
    expect(half[1000]).toBe(0.5)
    expect(data.length).toBe(1 << 20)
  })
})

describe('transfer()', () => {
  it('moves a buffer to a thread and back', async () => {
    const bytes = new Uint8Array(1 << 16).fill(7)
    const f = clusters.thread.distribute((data: Uint8Array) => {
      data[0] = 9
      return transfer(data)
    })
    const back = await f(transfer(bytes))
    expect(bytes.byteLength).toBe(0)
    expect([back[0], back[1], back.length]).toEqual([9, 7, 1 << 16])
  })

  it('moves it in the very first call too, while the code is still being prepared', async () => {
    const { inspect } = await import('./imported.ts')
    const f = clusters.thread.distribute(
      (data: Uint8Array, other: unknown) => `${data.length} ${inspect(other)}`,
    )
    const bytes = new Uint8Array(100)
    const call = f(transfer(bytes), { first: true })
    expect(await call).toBe('100 {"first":true}')
    expect(bytes.byteLength).toBe(0)
  })

  it('moves the inputs of a map', async () => {
    const inputs = [1, 2, 3].map((n) => new Uint8Array(1000).fill(n))
    const sum = clusters.thread.distribute((data: Uint8Array) => data.reduce((a, b) => a + b, 0))
    expect(await sum.map(inputs.map((input) => transfer(input)))).toEqual([1000, 2000, 3000])
    expect(inputs.map((input) => input.byteLength)).toEqual([0, 0, 0])
  })

  it('is gone at the caller with processes too, where the content is copied', async () => {
    const bytes = new Uint8Array(1000).fill(3)
    const f = clusters.process.distribute((data: Uint8Array) => data[999])
    expect(await f(transfer(bytes))).toBe(3)
    expect(bytes.byteLength).toBe(0)
    const inputs = [1, 2].map((n) => new Uint8Array(1000).fill(n))
    expect(await f.map(inputs.map((input) => transfer(input)))).toEqual([1, 2])
    expect(inputs.map((input) => input.byteLength)).toEqual([0, 0])
  })

  it('leaves what is called locally as it is', () => {
    const f = clusters.thread.distribute((data: Uint8Array) => data.length)
    expect(f.local(transfer(new Uint8Array(5)))).toBe(5)
  })
})

describe('a SharedArrayBuffer', () => {
  it('is the same memory in threads', async () => {
    const counter = shared()
    const f = clusters.thread.distribute(({ at }: { at: Int32Array }) => Atomics.add(at, 0, 1))
    await f.map(Array(50).fill({ at: counter }))
    await f({ at: counter })
    expect(counter[0]).toBe(51)
  })

  it('is refused by processes, with its path', async () => {
    const f = clusters.process.distribute(({ at }: { at: Int32Array }) => at[0])
    const errors = [await rejection(f({ at: shared() })), await rejection(f.map([{ at: shared() }]))]
    expect(errors[0]).toBeInstanceOf(EncodeError)
    expect((errors[0] as EncodeError).path).toMatch(/^args\[0\]\.at/)
    expect((errors[1] as EncodeError).path).toMatch(/^inputs\[0\]\.at/)
  })
})
