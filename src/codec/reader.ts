import { DecodeError } from '../errors.ts'
import { STRING_RING, Tag } from './tags.ts'

const fromCharCode = String.fromCharCode
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** Node's Buffer methods work on any Uint8Array, and are the fastest way to a long string. */
type Slice = (this: Uint8Array, start: number, end: number) => string
const bufferMethods = (globalThis as { Buffer?: { prototype: { latin1Slice?: Slice; ucs2Slice?: Slice } } })
  .Buffer?.prototype

function working(slice: Slice | undefined): Slice | undefined {
  try {
    return slice?.call(new Uint8Array([65, 0, 66, 0]), 0, 2)?.startsWith('A') ? slice : undefined
  } catch {
    return undefined
  }
}
const latin1Slice = working(bufferMethods?.latin1Slice)
const ucs2Slice = working(bufferMethods?.ucs2Slice)

const NOTHING = new Uint8Array(0)

/** Reads primitives, and never past the end. */
export class Reader {
  protected bytes: Uint8Array = NOTHING
  #view: DataView | undefined
  protected pos = 0
  protected end = 0
  /** The last strings of the message, by number modulo the size of the ring. */
  readonly #recent: string[] = new Array(STRING_RING).fill('')
  #strings = 0

  protected open(bytes: Uint8Array): void {
    this.bytes = bytes
    this.pos = 0
    this.end = bytes.length
    this.#strings = 0
  }

  protected close(): void {
    this.bytes = NOTHING
    this.#view = undefined
    // Strings may be large; the ring of a small message is not worth the time.
    if (this.#strings > 0) this.#recent.fill('', 0, Math.min(this.#strings, STRING_RING))
  }

  /** Made when it is needed: most small messages do without, and it costs as much as they do. */
  protected get view(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    return this.#view
  }

  protected fail(what: string): DecodeError {
    return new DecodeError(`These are not the bytes of a value: ${what} at byte ${this.pos} of ${this.end}`)
  }

  /** Checks that `count` more bytes are there. */
  protected need(count: number): void {
    if (count > this.end - this.pos) throw this.fail('the end comes too early')
  }

  protected byte(): number {
    const value = this.bytes[this.pos++]
    if (value === undefined || this.pos > this.end) throw this.fail('the end comes too early')
    return value
  }

  protected varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) break
        return value
      }
      scale *= 128
    }
    throw this.fail('a number is too large')
  }

  protected float64(): number {
    this.need(8)
    this.pos += 8
    return this.view.getFloat64(this.pos - 8, true)
  }

  protected bigint(): bigint {
    const head = this.varint()
    const size = Math.floor(head / 2)
    this.need(size)
    let hex = '0x0'
    for (let i = 0; i < size; i++) hex += this.bytes[this.pos++]!.toString(16).padStart(2, '0')
    const value = BigInt(hex)
    return head % 2 === 1 ? -value : value
  }

  /** The string that `tag` begins. */
  protected string(tag: number): string {
    if (tag < Tag.SHAPED) {
      const length = tag - Tag.SHORT_STRING
      const pos = this.pos
      if (length > this.end - pos) throw this.fail('the end comes too early')
      this.pos = pos + length
      const text = latin1(this.bytes, pos, length)
      if (length > 2) this.#recent[this.#strings++ & (STRING_RING - 1)] = text
      return text
    }
    if (tag === Tag.SEEN_STRING) {
      const slot = this.byte() | (this.byte() << 8)
      if (slot >= this.#strings || slot >= STRING_RING) {
        throw this.fail('a string that was not there is named')
      }
      return this.#recent[slot]!
    }
    const text = this.#otherString(tag)
    if (text.length > 2) this.#recent[this.#strings++ & (STRING_RING - 1)] = text
    return text
  }

  #otherString(tag: number): string {
    switch (tag) {
      case Tag.STRING:
        return this.#latin1(this.byte())
      case Tag.LONG_STRING:
        return this.#latin1(this.#size())
      case Tag.SHORT_UTF8_STRING:
        return this.#utf8(this.byte())
      case Tag.UTF8_STRING:
        return this.#utf8(this.#size())
      case Tag.UTF16_STRING:
        return this.#utf16(this.#size())
      default:
        throw this.fail('a string should be here')
    }
  }

  #size(): number {
    this.need(4)
    this.pos += 4
    return this.view.getUint32(this.pos - 4, true)
  }

  #latin1(length: number): string {
    const pos = this.pos
    if (length > this.end - pos) throw this.fail('the end comes too early')
    this.pos = pos + length
    return latin1(this.bytes, pos, length)
  }

  #utf8(size: number): string {
    this.need(size)
    const start = this.pos
    this.pos += size
    return utf8.decode(this.bytes.subarray(start, this.pos))
  }

  #utf16(size: number): string {
    this.need(size)
    const start = this.pos
    this.pos += size
    if (ucs2Slice !== undefined) return ucs2Slice.call(this.bytes, start, this.pos)
    let text = ''
    for (let at = start; at + 1 < this.pos; at += 2) text += fromCharCode(this.view.getUint16(at, true))
    return text
  }
}

/** Characters of one byte each. Short ones unrolled: a native call costs as much as a dozen characters. */
export function latin1(b: Uint8Array, p: number, length: number): string {
  switch (length) {
    case 0:
      return ''
    case 1:
      return fromCharCode(b[p]!)
    case 2:
      return fromCharCode(b[p]!, b[p + 1]!)
    case 3:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!)
    case 4:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!, b[p + 3]!)
    case 5:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!, b[p + 3]!, b[p + 4]!)
    case 6:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!, b[p + 3]!, b[p + 4]!, b[p + 5]!)
    case 7:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!, b[p + 3]!, b[p + 4]!, b[p + 5]!, b[p + 6]!)
    case 8:
      return fromCharCode(b[p]!, b[p + 1]!, b[p + 2]!, b[p + 3]!, b[p + 4]!, b[p + 5]!, b[p + 6]!, b[p + 7]!)
    case 9:
      return fromCharCode(
        b[p]!,
        b[p + 1]!,
        b[p + 2]!,
        b[p + 3]!,
        b[p + 4]!,
        b[p + 5]!,
        b[p + 6]!,
        b[p + 7]!,
        b[p + 8]!,
      )
    case 10:
      return fromCharCode(
        b[p]!,
        b[p + 1]!,
        b[p + 2]!,
        b[p + 3]!,
        b[p + 4]!,
        b[p + 5]!,
        b[p + 6]!,
        b[p + 7]!,
        b[p + 8]!,
        b[p + 9]!,
      )
    case 11:
      return fromCharCode(
        b[p]!,
        b[p + 1]!,
        b[p + 2]!,
        b[p + 3]!,
        b[p + 4]!,
        b[p + 5]!,
        b[p + 6]!,
        b[p + 7]!,
        b[p + 8]!,
        b[p + 9]!,
        b[p + 10]!,
      )
    case 12:
      return fromCharCode(
        b[p]!,
        b[p + 1]!,
        b[p + 2]!,
        b[p + 3]!,
        b[p + 4]!,
        b[p + 5]!,
        b[p + 6]!,
        b[p + 7]!,
        b[p + 8]!,
        b[p + 9]!,
        b[p + 10]!,
        b[p + 11]!,
      )
  }
  if (latin1Slice !== undefined) return latin1Slice.call(b, p, p + length)
  let text = ''
  for (let at = p; at < p + length; at += 4096) {
    text += fromCharCode.apply(null, b.subarray(at, Math.min(at + 4096, p + length)) as never)
  }
  return text
}
