import { describe, expect, it } from 'vitest'
import { decode, encode, encodeList, packNumbers, sendable } from '../../src/codec/index.ts'
import { EncodeError } from '../../src/errors.ts'
import { difference } from './same.ts'

describe('encodeList', () => {
  it('keeps the others when elements cannot travel', () => {
    const shared = { name: 'shared', buffer: new Uint8Array(4000) }
    const values = [
      { id: 1, shared },
      { id: 2, shared, other: ['text', new Float64Array(900)], bad: [() => 1] },
      { id: 3, shared, other: ['text'] },
      Promise.resolve(),
      'text',
      { later: shared, id: 4 },
    ]
    const { encoded, failed } = encodeList(values, { path: 'input' })
    expect(failed.map(({ index, error }) => [index, error.path])).toEqual([
      [1, 'input.bad[0]'],
      [3, 'input'],
    ])
    const [a, b, c, d, e, f] = values
    expect(b && d).toBeTruthy()
    expect(difference([a, undefined, c, undefined, e, f], decode(encoded))).toBe(undefined)
    expect(encoded.attachments.length).toBe(1)
  })

  it('takes back what only a refused element had', () => {
    const only = { deep: { text: 'a string to be remembered', list: [1, 2, 3] } }
    const values = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? { only, f() {} } : { only, i }))
    const { encoded, failed } = encodeList(values)
    expect(failed.length).toBe(20)
    const back = decode(encoded) as { only: object; i: number }[]
    expect(back[39]).toEqual({ only, i: 39 })
    expect(back[39]!.only).toBe(back[1]!.only)
  })

  it('takes back a refused element that is nested deeply', () => {
    let bad: unknown = () => 1
    let good: unknown = 'end'
    for (let i = 0; i < 5000; i++) {
      bad = [bad]
      good = [good]
    }
    const { encoded, failed } = encodeList([good, bad, good, [good]])
    expect(failed.map(({ index }) => index)).toEqual([1])
    const back = decode(encoded) as unknown[]
    expect(back[1]).toBe(undefined)
    expect(back[2]).toBe(back[0])
    expect((back[3] as unknown[])[0]).toBe(back[0])
  })

  it('names elements', () => {
    const { failed } = encodeList([1, { f() {} }], {}, (index) => `inputs[${index + 10}]`)
    expect(failed[0]!.error.path).toBe('inputs[11].f')
  })

  it('is an array for empty lists and array-likes', () => {
    expect(decode(encodeList([]).encoded)).toEqual([])
    expect(decode(encodeList(new Float32Array([1, 2])).encoded)).toEqual([1, 2])
  })

  it('survives user code that throws, and encoding inside encoding', () => {
    const values = [
      {
        get inner() {
          return [...encode({ nested: [1, 2, 3] }).bytes]
        },
      },
      {
        get broken() {
          throw new Error('not now')
        },
      },
      { a: 1 },
    ]
    const { encoded, failed } = encodeList(values)
    expect(failed.map(({ error }) => error.path)).toEqual(['value.broken'])
    expect(decode(encoded)).toEqual([
      { inner: [...encode({ nested: [1, 2, 3] }).bytes] },
      undefined,
      { a: 1 },
    ])
  })
})

describe('packNumbers', () => {
  it('packs numbers only', () => {
    expect(packNumbers([9, 1.5, -0, Number.NaN, 9], 1, 4)).toEqual(Float64Array.of(1.5, -0, Number.NaN))
    expect(packNumbers([1, '2'], 0, 2)).toBe(undefined)
    expect(packNumbers([1, 2, undefined], 0, 3)).toBe(undefined)
    expect(packNumbers(new Array(3), 0, 3)).toBe(undefined)
    expect(packNumbers([1n], 0, 1)).toBe(undefined)
    expect(packNumbers([], 0, 0)).toEqual(new Float64Array(0))
    expect(packNumbers(Int8Array.of(1, 2, 3), 1, 3)).toEqual(Float64Array.of(2, 3))
  })
})

describe('sendable', () => {
  it('is the value itself when it can travel', () => {
    const error = new Error('x')
    expect(sendable(error)).toBe(error)
    expect(sendable('text')).toBe('text')
  })

  it('keeps an error, and puts a note in place of what cannot travel', () => {
    class HttpError extends Error {
      code = 'E_HTTP'
      request = { socket: () => 1 }
    }
    const cause = Object.assign(new TypeError('inner'), { handle: new WeakMap(), hint: 'h' })
    const error = new HttpError('failed', { cause })
    const back = decode(encode(sendable(error))) as HttpError & {
      cause: TypeError & { hint: string; handle: string }
    }
    expect(back).toBeInstanceOf(Error)
    expect([back.name, back.message, back.code, back.stack]).toEqual([
      'HttpError',
      'failed',
      'E_HTTP',
      error.stack,
    ])
    expect(back.request).toMatch(/^\[Cannot send value\.socket: it is the function socket/)
    expect(back.cause).toBeInstanceOf(TypeError)
    expect([back.cause.message, back.cause.hint]).toEqual(['inner', 'h'])
    expect(back.cause.handle).toMatch(/WeakMap/)
  })

  it('ends for errors that contain each other', () => {
    const a = Object.assign(new Error('a'), { f() {}, other: undefined as unknown })
    const b = Object.assign(new Error('b'), { f() {}, other: a })
    a.other = b
    const several = new AggregateError([a, b, () => 1])
    const back = decode(encode(sendable(several))) as AggregateError
    expect(back.errors[0].message).toBe('a')
    expect(back.errors[0].other).toBe(back.errors[1])
    expect(back.errors[2]).toMatch(/function/)
  })

  it('explains a thrown value that is no error', () => {
    expect(sendable({ f() {} })).toBeInstanceOf(EncodeError)
  })
})
