import { describe, expect, it } from 'vitest'
import {
  decode,
  type Encoded,
  encode,
  frameParts,
  fromFrame,
  IncomingFrame,
  toFrame,
} from '../../src/codec/index.ts'
import { DecodeError, EncodeError } from '../../src/errors.ts'

const value = { data: new Float64Array(1000).fill(1.5), bytes: new Uint8Array(3001), text: 'abc' }

/** Reads a frame that comes in pieces of these lengths, over and over. */
function received(frame: Uint8Array, pieces: number[]): Encoded | undefined {
  const incoming = new IncomingFrame(frame.length)
  for (let at = 0, turn = 0; at < frame.length; turn++) {
    const piece = frame.subarray(at, at + (pieces[turn % pieces.length] as number))
    const taken = incoming.add(piece)
    at += piece.length
    expect(incoming.encoded === undefined).toBe(at < frame.length)
    expect(taken).toBe(piece.length)
  }
  expect(incoming.add(Uint8Array.of(1, 2, 3))).toBe(0)
  return incoming.encoded
}

describe('frames', () => {
  it('carry a value', () => {
    const frame = toFrame(encode(value))
    expect(decode(fromFrame(frame))).toEqual(value)
    expect(frame.byteLength).toBe(frame.buffer.byteLength)
  })

  it('are read wherever they lie in a larger buffer', () => {
    const frame = toFrame(encode(value))
    const buffer = new Uint8Array(frame.length + 20)
    for (const offset of [1, 3, 8]) {
      buffer.set(frame, offset)
      expect(decode(fromFrame(buffer.subarray(offset, offset + frame.length)))).toEqual(value)
    }
  })

  it('give every attachment a buffer of its own', () => {
    const frame = toFrame(encode(value))
    const { attachments } = fromFrame(frame)
    expect(attachments.map((each) => each.byteLength)).toEqual([8000, 3001])
    frame.fill(0)
    expect(new Float64Array(attachments[0]!)[7]).toBe(1.5)
  })

  it('can be written in parts that are not copied, each at a multiple of 8', () => {
    const encoded = encode(value)
    const parts = frameParts(encoded)
    expect(parts.some((part) => part.buffer === value.data.buffer)).toBe(true)
    expect(Buffer.concat(parts)).toEqual(Buffer.from(toFrame(encoded)))
    let at = 0
    for (const part of parts) {
      if (part.buffer === value.data.buffer || part.buffer === value.bytes.buffer) expect(at % 8).toBe(0)
      at += part.length
    }
  })

  it('can be read as they come, each part into a buffer of its own', () => {
    for (const each of [value, 'abc', new Uint8Array(0), [new Uint8Array(7), new Float64Array(0), value]]) {
      const frame = toFrame(encode(each))
      for (const pieces of [[1], [7, 1000], [65_536]])
        expect(decode(received(frame, pieces) as Encoded)).toEqual(each)
    }
    const { attachments } = received(toFrame(encode(value)), [100]) as Encoded
    expect(attachments.map((each) => each.byteLength)).toEqual([8000, 3001])
  })

  it('refuse shared memory', () => {
    const encoded = encode(new Uint8Array(new SharedArrayBuffer(8)), { shared: true })
    expect(() => toFrame(encoded)).toThrow(EncodeError)
  })

  it('that are cut off, too long or something else are refused', () => {
    const frame = toFrame(encode(value))
    for (const size of [0, 1, 15, 16, 17, 40, frame.length - 8000, frame.length - 1]) {
      expect(() => fromFrame(frame.subarray(0, size))).toThrow(DecodeError)
    }
    expect(() => fromFrame(Uint8Array.of(...frame, 0))).toThrow(/Something follows/)
    for (const size of [1, 15, 16, 17, 40, frame.length - 8, frame.length + 8]) {
      const other = new Uint8Array(size)
      other.set(frame.subarray(0, size))
      expect(() => received(other, [64])).toThrow(DecodeError)
    }
    const wrong = (at: number, ...bytes: number[]) => {
      const copy = frame.slice()
      copy.set(bytes, at)
      return copy
    }
    expect(() => fromFrame(wrong(0, 1))).toThrow(/not a frame/)
    expect(() => fromFrame(wrong(2, 9))).toThrow(/another version/)
    for (const at of [4, 8, 16]) {
      expect(() => fromFrame(wrong(at, 255, 255, 255, 255))).toThrow(/truncated/)
      expect(() => fromFrame(wrong(at + 2, 255, 255))).toThrow(/truncated/)
      expect(() => received(wrong(at, 255, 255, 255, 255), [64])).toThrow(/truncated/)
    }
  })
})
