/** An Encoded as one byte string, for sockets, message brokers and disks. */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Encoded } from './index.ts'
import { isBuffer } from './kinds.ts'

const MAGIC = 0xdcf1
const VERSION = 1
/** Parts begin at multiples of this, so that views of any element size can lie on the frame itself. */
const ALIGN = 8
/** Bytes before the sizes of the attachments: magic and version, their number, the size of `bytes`. */
const START = 16

/**
 * The frame as parts that belong one behind the other: write them with one gathering call, and large attachments are
 * never copied. The parts alias `encoded`.
 */
export function frameParts(encoded: Encoded): Uint8Array[] {
  const { bytes, attachments } = encoded
  const head = new Uint8Array(headSize(attachments.length))
  const view = new DataView(head.buffer)
  view.setUint16(0, MAGIC, true)
  view.setUint16(2, VERSION, true)
  view.setUint32(4, attachments.length, true)
  setSize(view, 8, bytes.length)
  const parts: Uint8Array[] = [head, bytes]
  pad(parts, bytes.length)
  attachments.forEach((attachment, index) => {
    if (!isBuffer(attachment)) {
      throw new EncodeError(
        'value',
        'it contains a SharedArrayBuffer, which no other process can see',
        'pass a copy: new Uint8Array(shared).slice()',
      )
    }
    setSize(view, 16 + index * 8, attachment.byteLength)
    parts.push(new Uint8Array(attachment))
    pad(parts, attachment.byteLength)
  })
  return parts
}

/** One contiguous byte string on a buffer of its own. */
export function toFrame(encoded: Encoded): Uint8Array<ArrayBuffer> {
  const parts = frameParts(encoded)
  let size = 0
  for (const part of parts) size += part.length
  const frame = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    frame.set(part, at)
    at += part.length
  }
  return frame
}

/**
 * Takes a frame apart. `bytes` of the result lies on the frame; attachments are copies, each a buffer of its own.
 * @throws DecodeError when it is no complete frame
 */
export function fromFrame(frame: Uint8Array): Encoded {
  let at = headLength(frame, frame.length)
  const [bytes, ...attachments] = partSizes(frame.subarray(0, at), frame.length).map((size) => {
    const start = at
    at += padded(size)
    return frame.subarray(start, start + size)
  })
  return { bytes: bytes as Uint8Array, attachments: attachments.map((each) => new Uint8Array(each).buffer) }
}

/**
 * A frame that comes in pieces. Each part goes into a buffer of its own at once: what is large is copied once, and is
 * there once.
 */
export class IncomingFrame {
  readonly #memory: Generator<Uint8Array, Encoded, void>
  #target: Uint8Array | undefined
  #filled = 0
  #encoded: Encoded | undefined
  #failure: { error: unknown } | undefined

  /** @param size bytes of the frame */
  constructor(size: number) {
    this.#memory = memoryFor(size)
    this.#next()
  }

  /**
   * The frame, once all of it has come; undefined before.
   * @throws DecodeError it is none of that size, which shows with its head
   */
  get encoded(): Encoded | undefined {
    if (this.#failure) throw this.#failure.error
    return this.#encoded
  }

  /** @returns how many of these bytes it has taken: what follows the frame, or is none, is not taken */
  add(data: Uint8Array): number {
    let at = 0
    while (this.#target && at < data.length) {
      const used = Math.min(this.#target.length - this.#filled, data.length - at)
      this.#target.set(data.subarray(at, at + used), this.#filled)
      at += used
      this.#filled += used
      if (this.#filled === this.#target.length) this.#next()
    }
    return at
  }

  #next(): void {
    this.#filled = 0
    this.#target = undefined
    try {
      const next = this.#memory.next()
      if (next.done) this.#encoded = next.value
      else this.#target = next.value
    } catch (error) {
      this.#failure = { error }
    }
  }
}

/** What the bytes of a frame belong in, to be filled one after the other; returns what came. */
function* memoryFor(size: number): Generator<Uint8Array, Encoded, void> {
  const start = new Uint8Array(START)
  if (size < START) throw truncated(START, size)
  yield start
  const head = new Uint8Array(headLength(start, size))
  head.set(start)
  if (head.length > START) yield head.subarray(START)
  const [bytes, ...attachments] = partSizes(head, size).map((length) => new Uint8Array(length))
  for (const part of [bytes as Uint8Array, ...attachments]) {
    if (part.length > 0) yield part
    const { length } = part
    if (padded(length) > length) yield new Uint8Array(padded(length) - length)
  }
  return { bytes: bytes as Uint8Array, attachments: attachments.map(({ buffer }) => buffer) }
}

/** Bytes of a head, with as many sizes as `start` announces. */
function headLength(start: Uint8Array, whole: number): number {
  const view = viewOf(start)
  if (start.length < START || view.getUint16(0, true) !== MAGIC)
    throw new DecodeError('This is not a frame of dicomp')
  const version = view.getUint16(2, true)
  if (version !== VERSION) {
    throw new DecodeError(`The frame is of another version of dicomp (${version}, this one reads ${VERSION})`)
  }
  const length = headSize(view.getUint32(4, true))
  if (length > whole) throw truncated(length, whole)
  return length
}

/** Of `bytes`, then of each attachment: together with the head they are the whole frame. */
function partSizes(head: Uint8Array, whole: number): number[] {
  const view = viewOf(head)
  const sizes: number[] = []
  let end = head.length
  for (let at = 8; at < head.length; at += 8) {
    const size = getSize(view, at)
    if (padded(size) > whole - end) throw truncated(end + padded(size), whole)
    end += padded(size)
    sizes.push(size)
  }
  if (end !== whole) throw new DecodeError(`Something follows the frame: ${whole - end} bytes`)
  return sizes
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

function headSize(attachments: number): number {
  return START + attachments * 8
}

function padded(size: number): number {
  return Math.ceil(size / ALIGN) * ALIGN
}

function pad(parts: Uint8Array[], size: number): void {
  if (padded(size) > size) parts.push(new Uint8Array(padded(size) - size))
}

function setSize(view: DataView, at: number, size: number): void {
  view.setUint32(at, size % 2 ** 32, true)
  view.setUint32(at + 4, Math.floor(size / 2 ** 32), true)
}

function getSize(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

function truncated(expected: number, got: number): DecodeError {
  return new DecodeError(`The frame is truncated: ${got} bytes of ${expected} or more`)
}
