import { describe, expect, it } from 'vitest'
import { decode, encode, fromFrame, toFrame, transfer } from '../../src/codec/index.ts'
import { difference } from './same.ts'

function there<T>(value: T): T {
  return decode(encode(value)) as T
}

describe('single values', () => {
  const big = 2n ** 100_000n
  const sparse = Object.assign(new Array(4_000_000_000), { 0: 'a', 3999999999: 'z' })
  const table: [string, unknown][] = [
    [
      'integers at the borders',
      [0, 127, 128, 255, 256, -1, -256, -257, 32767, 32768, -32768, -32769, 2 ** 31, 2 ** 53, -0],
    ],
    ['large bigints', [big, -big, 2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 2n ** 64n]],
    [
      'strings of all kinds',
      [
        '',
        'a',
        'é',
        '日本語',
        '😀',
        '\ud800',
        '\udc00x',
        'é'.repeat(5000),
        '😀'.repeat(5000),
        '\ud800'.repeat(5000),
      ],
    ],
    ['a string of a megabyte, twice', ['x'.repeat(1e6), ['x'.repeat(1e6)]]],
    ['a byte order mark', ['\ufeff', `\ufeff${'x'.repeat(100)}é`]],
    ['a hole and undefined', [, undefined, ,]],
    ['a sparse array', sparse],
    ['an empty large array', new Array(1e6)],
    ['a match', /(?<n>b)/.exec('abc')],
    ['boxed primitives', [Object(1), Object('s'), Object(true), Object(1n), Object(Symbol.for('x'))]],
    [
      'extra properties of builtins',
      [Object.assign(new Map([[1, 2]]), { a: 1 }), Object.assign(new Date(1), { b: [1] })],
    ],
    ['an object with many keys', Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key ${i}`, i]))],
    ['many shapes', Array.from({ length: 6000 }, (_, i) => ({ [`k${i}`]: i, same: 'text' }))],
    ['integer keys', { 2: 'b', 1: 'a', x: 1, 4294967295: 'c', '-1': 'd' }],
    [
      'keys of Object.prototype',
      JSON.parse('{"__proto__": {"polluted": 1}, "toString": 1, "constructor": [2]}'),
    ],
    ['block borders', [31, 32, 33].map((n) => [...Array(n).keys()])],
    [
      'integer blocks',
      [
        [200, 255],
        [-1, 32767],
        [-32769, 0],
        [2 ** 31, 0],
      ].map(([a, b]) => Array.from({ length: 50 }, (_, i) => (i % 2 ? a : b))),
    ],
    ['numbers and one hole', Object.assign(new Array(50).fill(1), { length: 51 })],
    ['numbers and one string', [...new Array(50).fill(1.5), 'x']],
    ['a large block', Array.from({ length: 10_000 }, (_, i) => i / 7)],
    ['URLs', [new URL('https://user@host:81/p?q=ü#h'), new URLSearchParams('a=1&a=2&b=%20')]],
    ['a pooled Buffer', Buffer.from('hello')],
    ['a large Buffer', Buffer.alloc(100_000, 'abc')],
    [
      'views that share',
      (() => {
        const b = new ArrayBuffer(8000)
        return [new Uint8Array(b, 100, 900), new Float64Array(b, 800, 50), new DataView(b, 3, 5)]
      })(),
    ],
  ]
  it.each(table)('%s', (_name, value) => {
    expect(difference(value, there(value))).toBe(undefined)
    expect(difference(value, decode(fromFrame(toFrame(encode(value)))))).toBe(undefined)
  })

  it('values of another realm become values of this one', async () => {
    const { runInNewContext } = await import('node:vm')
    const foreign = runInNewContext(
      '({ list: [1, "a"], map: new Map([[1, { a: 1 }]]), set: new Set([1]), when: new Date(5), bytes: new Uint8Array([1, 2]), re: /a/g, buffer: new ArrayBuffer(2) })',
    )
    const back = there(foreign)
    expect(back).toEqual({
      list: [1, 'a'],
      map: new Map([[1, { a: 1 }]]),
      set: new Set([1]),
      when: new Date(5),
      bytes: new Uint8Array([1, 2]),
      re: /a/g,
      buffer: new ArrayBuffer(2),
    })
    expect(back.list).toBeInstanceOf(Array)
    const error = there(runInNewContext('new TypeError("x")'))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.name).toBe('TypeError')
  })

  it('reads getters of plain objects once, as structured clone does', () => {
    let reads = 0
    const value = {
      get a() {
        return ++reads
      },
    }
    expect(there(value)).toEqual({ a: 1 })
    expect(reads).toBe(1)
  })

  it('refuses an object that changes while it is read', () => {
    const value = {
      get a() {
        Reflect.deleteProperty(this, 'b')
        return 1
      },
      b: 2,
    }
    expect(() => encode(value)).toThrow(/changed while it was read/)
  })

  it('drops only symbol keys that no other process can name', () => {
    const back = there({ a: 1, [Symbol('unique')]: 2, [Symbol.for('known')]: 3 })
    expect(Reflect.ownKeys(back)).toEqual(['a', Symbol.for('known')])
  })

  it('is not fooled by a polluted Object.prototype', () => {
    Object.defineProperty(Object.prototype, 'polluted', {
      value: 1,
      writable: true,
      enumerable: true,
      configurable: true,
    })
    try {
      const back = there({ a: 1 })
      expect(Object.keys(back)).toEqual(['a'])
      expect(Object.keys(there({ polluted: 2 }))).toEqual(['polluted'])
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted')
    }
  })
})

describe('depth', () => {
  const DEPTH = 1_000_000
  it('of a million arrays', () => {
    let value: unknown[] = []
    for (let i = 0; i < DEPTH; i++) value = [value]
    let back = there(value)
    let depth = 0
    for (; back.length > 0; depth++) back = back[0] as unknown[]
    expect(depth).toBe(DEPTH)
  })

  it('of a linked list of a million', () => {
    type Link = { next: Link | undefined; prev: Link | undefined; i: number }
    let value: Link | undefined
    for (let i = 0; i < DEPTH; i++) {
      const link: Link = { next: value, prev: undefined, i }
      if (value !== undefined) value.prev = link
      value = link
    }
    let back: Link | undefined = there(value)
    let count = 0
    for (; back !== undefined; back = back.next) {
      if (back.next !== undefined && back.next.prev !== back) throw new Error('a link back is wrong')
      count++
    }
    expect(count).toBe(DEPTH)
  })

  it('of everything that can contain something', () => {
    let value: unknown = 'end'
    for (let i = 0; i < 20_000; i++) {
      value = [
        { value },
        Object.assign(Object.create(null), { value }),
        new Map([[value, i]]),
        new Set([i, value]),
        new Error('x', { cause: value }),
        Object.assign([i], { value }),
        Object.assign([, 1], { 1: value }),
        Object.assign(new Date(i), { value }),
      ][i % 8]
    }
    expect(difference(value, there(value))).toBe(undefined)
  })
})

describe('buffers', () => {
  it('travel apart, without a copy', () => {
    const data = new Float64Array(1000)
    const { bytes, attachments, transfer: given } = encode({ data })
    expect(attachments).toEqual([data.buffer])
    expect(attachments[0]).toBe(data.buffer)
    expect(given).toBe(undefined)
    expect(bytes.length).toBeLessThan(30)
    expect(bytes.byteLength).toBe(bytes.buffer.byteLength)
  })

  it('of which views show a part send that part', () => {
    const data = new Float64Array(10_000).map((_, i) => i)
    const value = { a: data.subarray(5000, 5100), b: data.subarray(5050, 5200) }
    const { attachments } = encode(value)
    expect(attachments[0]!.byteLength).toBe(200 * 8)
    const back = there(value)
    expect(back).toEqual(value)
    expect(back.a.buffer).toBe(back.b.buffer)
    back.a[50] = -1
    expect(back.b[0]).toBe(-1)
    expect(encode({ ...value, buffer: data.buffer }).attachments[0]!.byteLength).toBe(80_000)
    expect(encode([data.buffer, value.a]).attachments[0]!.byteLength).toBe(80_000)
  })

  it('of a pool send only their own bytes', () => {
    const secret = Buffer.from('secret, in the same pool')
    const value = Buffer.from('public')
    expect(value.buffer).toBe(secret.buffer)
    const { bytes, attachments } = encode([value, value])
    expect(attachments).toEqual([])
    expect(Buffer.from(bytes).includes('secret')).toBe(false)
    const back = there([value, value])
    expect(back[0]).toBeInstanceOf(Buffer)
    expect(back[0]).toBe(back[1])
  })

  it('are listed for transfer when they were given away, once', () => {
    const data = new Float64Array(1000)
    const other = new Uint8Array(3000)
    expect(transfer(data)).toBe(data)
    const first = encode({ data, other, more: data.subarray(10, 20) })
    expect(first.transfer).toEqual([data.buffer])
    expect(first.attachments).toContain(other.buffer)
    expect(encode(data).transfer).toBe(undefined)
    const moved = structuredClone(first, {
      transfer: encode(transfer({ list: [new Map([[1, data]])] })).transfer!,
    })
    expect(data.length).toBe(0)
    expect((decode(moved) as { data: Float64Array }).data.length).toBe(1000)
    expect(() => encode(data)).toThrow(/detached/)
  })

  it('are listed for transfer however small, and only those of the list', () => {
    const a = new Uint8Array(8)
    const b = new Uint8Array(8)
    transfer({ a, b }, [b.buffer])
    expect(encode({ a, b }).transfer).toEqual([b.buffer])
  })

  it('that grow stay able to', () => {
    const Growing = ArrayBuffer as unknown as new (
      size: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer & {
      resize(size: number): void
    }
    for (const size of [16, 8000]) {
      const buffer = new Growing(size, { maxByteLength: 16_000 })
      const back = there({ buffer, all: new Uint8Array(buffer), some: new Uint8Array(buffer, 8, 4) })
      back.buffer.resize(size + 8)
      expect([back.all.length, back.some.length]).toEqual([size + 8, 4])
    }
  })
})
