import { STRING_RING, Tag } from './tags.ts'

/** The two methods of Node's Buffer that are faster than a loop or a TextEncoder. */
interface FastBytes extends Uint8Array<ArrayBuffer> {
  utf8Write?(text: string, at: number, length: number): number
  ucs2Write?(text: string, at: number, length: number): number
}

const SMALLEST = 16 * 1024
/** A buffer up to this size is kept for the next message. */
const KEPT = 4 * 1024 * 1024
/** Up to this length a loop beats a native call (Node 20 to 26). */
const LOOP_STRING = 48
/** Up to this many bytes a loop beats a copy by the runtime. */
const FEW_BYTES = 128
/** Up to this length the size in UTF-8 fits one byte. */
const SHORT_UTF8 = 85
const NodeBuffer = (globalThis as { Buffer?: { from(buffer: ArrayBuffer): FastBytes } }).Buffer
const textEncoder = new TextEncoder()

function allocate(size: number): FastBytes {
  const buffer = new ArrayBuffer(size)
  return NodeBuffer ? NodeBuffer.from(buffer) : new Uint8Array(buffer)
}

/** Bytes that grow, and the primitives in them. Little-endian throughout. */
export class Writer {
  protected bytes: FastBytes = allocate(SMALLEST)
  protected view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer)
  protected pos = 0
  protected limit: number = SMALLEST
  /** Strings written lately by a cheap hash, and their numbers; see `string`. */
  #recent: string[] = new Array(STRING_RING).fill('')
  #recentNumber: number[] = new Array(STRING_RING).fill(-1)
  /** Number of the next string; never reset, so that what an earlier message left behind is not taken for this one's. */
  protected strings = 0
  protected firstString = 0
  #keepsLong = false

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.pos + count > this.limit) this.#grow(this.pos + count)
  }

  #grow(needed: number): void {
    const next = allocate(Math.max(needed, this.limit * 2))
    next.set(this.bytes.subarray(0, this.pos))
    this.bytes = next
    this.view = new DataView(next.buffer)
    this.limit = next.length
  }

  rewind(): void {
    this.pos = 0
    this.firstString = this.strings
    if (this.limit > KEPT) {
      this.bytes = allocate(SMALLEST)
      this.view = new DataView(this.bytes.buffer)
      this.limit = SMALLEST
    }
    if (this.#keepsLong) this.#recent.fill('')
    this.#keepsLong = false
  }

  byte(value: number): void {
    if (this.pos >= this.limit) this.#grow(this.pos + 1)
    this.bytes[this.pos++] = value
  }

  tagged(tag: number, value: number): void {
    this.reserve(10)
    this.bytes[this.pos++] = tag
    this.varint(value)
  }

  /** A non-negative safe integer in 7-bit groups, low ones first. */
  varint(value: number): void {
    this.reserve(9)
    const bytes = this.bytes
    let pos = this.pos
    let rest = value
    while (rest > 0x0fffffff) {
      bytes[pos++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    while (rest > 127) {
      bytes[pos++] = (rest & 127) | 128
      rest >>>= 7
    }
    bytes[pos++] = rest
    this.pos = pos
  }

  number(value: number): void {
    if (this.pos + 9 > this.limit) this.#grow(this.pos + 9)
    const bytes = this.bytes
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      if (value >= 0 && value < 128) {
        bytes[this.pos++] = value
      } else if (value < 0 && value >= -256) {
        bytes[this.pos] = Tag.NEGATIVE
        bytes[this.pos + 1] = -1 - value
        this.pos += 2
      } else if (value >= -32768 && value < 32768) {
        bytes[this.pos] = Tag.INT16
        bytes[this.pos + 1] = value
        bytes[this.pos + 2] = value >> 8
        this.pos += 3
      } else {
        bytes[this.pos] = Tag.INT32
        bytes[this.pos + 1] = value
        bytes[this.pos + 2] = value >> 8
        bytes[this.pos + 3] = value >> 16
        bytes[this.pos + 4] = value >> 24
        this.pos += 5
      }
      return
    }
    bytes[this.pos] = Tag.FLOAT64
    this.view.setFloat64(this.pos + 1, value, true)
    this.pos += 9
  }

  /** A double without a tag. */
  float64(value: number): void {
    this.reserve(8)
    this.view.setFloat64(this.pos, value, true)
    this.pos += 8
  }

  bigint(value: bigint): void {
    if (BigInt.asIntN(64, value) === value) {
      this.reserve(9)
      this.bytes[this.pos] = Tag.BIGINT64
      this.view.setBigInt64(this.pos + 1, value, true)
      this.pos += 9
      return
    }
    const negative = value < 0n
    let hex = (negative ? -value : value).toString(16)
    if (hex.length % 2 === 1) hex = `0${hex}`
    const size = hex.length / 2
    this.tagged(Tag.BIGINT, size * 2 + (negative ? 1 : 0))
    this.reserve(size)
    for (let i = 0; i < size; i++) {
      this.bytes[this.pos++] = Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16)
    }
  }

  /**
   * A string, or the number of the same string among the last `STRING_RING` ones. The cache is direct-mapped with a
   * hash over three characters: a miss costs a few ns, which a Map lookup of every string would not.
   */
  string(text: string): void {
    const length = text.length
    if (length > 2) {
      const hash =
        (length * 17 +
          text.charCodeAt(0) * 3 +
          text.charCodeAt(length >> 1) * 31 +
          text.charCodeAt(length - 1) * 131) &
        (STRING_RING - 1)
      const number = this.#recentNumber[hash]!
      if (number >= this.firstString && this.strings - number < STRING_RING && this.#recent[hash] === text) {
        const slot = (number - this.firstString) & (STRING_RING - 1)
        this.reserve(3)
        this.bytes[this.pos] = Tag.SEEN_STRING
        this.bytes[this.pos + 1] = slot
        this.bytes[this.pos + 2] = slot >> 8
        this.pos += 3
        return
      }
      this.#recent[hash] = text
      this.#recentNumber[hash] = this.strings++
    }
    if (length > LOOP_STRING) {
      this.#keepsLong = true
      this.#longString(text)
      return
    }
    this.reserve(length + 2)
    const bytes = this.bytes
    let pos = this.pos
    if (length < 32) bytes[pos++] = Tag.SHORT_STRING + length
    else {
      bytes[pos++] = Tag.STRING
      bytes[pos++] = length
    }
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 255) {
        this.#longString(text)
        return
      }
      bytes[pos++] = code
    }
    this.pos = pos
  }

  /** Forgets the strings from number `first` on, after what named them was taken back. */
  forgetStrings(first: number): void {
    for (let i = 0; i < STRING_RING; i++) {
      if (this.#recentNumber[i]! >= first) this.#recentNumber[i] = -1
    }
    this.strings = first
  }

  #longString(text: string): void {
    const length = text.length
    if (length <= SHORT_UTF8) {
      this.reserve(2 + length * 3)
      if (isWellFormed(text)) {
        const size = this.#utf8(text, this.pos + 2)
        this.bytes[this.pos] = Tag.SHORT_UTF8_STRING
        this.bytes[this.pos + 1] = size
        this.pos += 2 + size
        return
      }
    }
    // Three bytes a character is the most that UTF-8 needs; for large ones, ask first.
    this.reserve(5 + (length < 4096 ? length * 3 : (utf8Length(text) ?? length * 3)))
    const at = this.pos + 5
    const written = this.#utf8(text, at)
    if (written === length) this.#stringHead(Tag.LONG_STRING, length)
    else if (isWellFormed(text)) this.#stringHead(Tag.UTF8_STRING, written)
    else {
      this.reserve(5 + length * 2)
      this.#utf16(text, at)
      this.#stringHead(Tag.UTF16_STRING, length * 2)
    }
  }

  #stringHead(tag: number, size: number): void {
    this.bytes[this.pos] = tag
    this.view.setUint32(this.pos + 1, size, true)
    this.pos += 5 + size
  }

  #utf8(text: string, at: number): number {
    if (this.bytes.utf8Write) return this.bytes.utf8Write(text, at, this.limit - at)
    return textEncoder.encodeInto(text, this.bytes.subarray(at)).written
  }

  #utf16(text: string, at: number): void {
    if (this.bytes.ucs2Write) {
      this.bytes.ucs2Write(text, at, text.length * 2)
      return
    }
    for (let i = 0; i < text.length; i++) this.view.setUint16(at + i * 2, text.charCodeAt(i), true)
  }

  /** Raw bytes, without their length. */
  raw(source: Uint8Array): void {
    this.reserve(source.length)
    this.bytes.set(source, this.pos)
    this.pos += source.length
  }

  /** A copy of what was written, on a buffer of its own. */
  take(): Uint8Array {
    const size = this.pos
    const copy = new Uint8Array(size)
    if (size > FEW_BYTES) copy.set(this.bytes.subarray(0, size))
    else for (let i = 0; i < size; i++) copy[i] = this.bytes[i]!
    return copy
  }
}

function utf8Length(text: string): number | undefined {
  const bytes = (globalThis as { Buffer?: { byteLength(text: string): number } }).Buffer
  return bytes?.byteLength(text)
}

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/

function isWellFormed(text: string): boolean {
  const native = (text as { isWellFormed?(): boolean }).isWellFormed
  return native === undefined ? !LONE_SURROGATE.test(text) : native.call(text)
}
