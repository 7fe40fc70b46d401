/** An Encoded as one byte string, for sockets, message brokers and disks. */
import { DecodeError, EncodeError } from '../errors.ts'
import type { Encoded } from './index.ts'
import { isBuffer } from './kinds.ts'

const MAGIC = 0xdcf1
const VERSION = 1
/** Parts begin at multiples of this, so that views of any element size can lie on the frame itself. */
const ALIGN = 8

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
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (frame.length < 16 || view.getUint16(0, true) !== MAGIC)
    throw new DecodeError('This is not a frame of dicomp')
  const version = view.getUint16(2, true)
  if (version !== VERSION) {
    throw new DecodeError(`The frame is of another version of dicomp (${version}, this one reads ${VERSION})`)
  }
  const count = view.getUint32(4, true)
  const head = headSize(count)
  if (head > frame.length) throw truncated(head, frame.length)
  let at = head
  const next = (size: number): number => {
    const start = at
    if (padded(size) > frame.length - at) throw truncated(at + padded(size), frame.length)
    at += padded(size)
    return start
  }
  const size = getSize(view, 8)
  const start = next(size)
  const bytes = frame.subarray(start, start + size)
  const attachments: ArrayBuffer[] = []
  for (let i = 0; i < count; i++) {
    const length = getSize(view, 16 + i * 8)
    const from = next(length)
    attachments.push(new Uint8Array(frame.subarray(from, from + length)).buffer)
  }
  if (at !== frame.length) throw new DecodeError(`Something follows the frame: ${frame.length - at} bytes`)
  return { bytes, attachments }
}

function headSize(attachments: number): number {
  return 16 + attachments * 8
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
