/**
 * Messages on a byte stream: a header of two 32-bit numbers (little endian), the length and the same mixed with a
 * constant, then an encoded value. The second number tells damage before anybody waits for a gigabyte that never comes.
 */
import { decode, encode, frameParts, fromFrame, IncomingFrame } from '../codec/index.ts'
import { DecodeError } from '../errors.ts'

const HEADER = 8
const MIX = 0x44436d70
/** Longest message, bytes. More is not written, and taken for damage when it is read. */
const MAX_FRAME = 2 ** 31 - 1
/** Bytes of values that fit a message. */
export const LARGEST_PAYLOAD: number = MAX_FRAME - 65_536

/** Parts of a message up to this many bytes are joined: one copy is cheaper than one more buffer for the kernel. */
const JOINED = 16_384

/** A message as the parts that have to be written one behind the other. Large buffers in it are not copied. */
export function framed(message: unknown): Uint8Array[] {
  const parts = frameParts(encode(message))
  let size = 0
  for (const part of parts) size += part.byteLength
  const head = new Uint8Array(HEADER + (size <= JOINED ? size : 0))
  const view = new DataView(head.buffer)
  view.setUint32(0, size, true)
  view.setUint32(4, (size ^ MIX) >>> 0, true)
  if (size > JOINED) return [head, ...parts]
  let at = HEADER
  for (const part of parts) {
    head.set(part, at)
    at += part.byteLength
  }
  return [head]
}

/**
 * A listener for a stream's 'data' that calls `receive` with each whole message.
 * @throws DecodeError (the listener) when the bytes are no messages
 */
export function frames(receive: (message: unknown) => void): (data: Uint8Array) => void {
  const header = new Uint8Array(HEADER)
  let target: Uint8Array = header
  let filled = 0
  let large: IncomingFrame | undefined

  const whole = (): void => {
    const full = target
    filled = 0
    target = header
    if (full !== header) return receive(decode(fromFrame(full)))
    const size = sizeIn(header)
    if (size > JOINED) large = new IncomingFrame(size)
    // A plain Uint8Array on a buffer of its own: typed arrays inside are views that must be aligned and may be kept.
    else target = new Uint8Array(size)
  }

  return (data) => {
    let at = 0
    while (at < data.length) {
      if (large) {
        at += large.add(data.subarray(at))
        const { encoded } = large
        if (!encoded) continue
        large = undefined
        receive(decode(encoded))
      } else {
        const used = Math.min(target.length - filled, data.length - at)
        target.set(data.subarray(at, at + used), filled)
        at += used
        filled += used
        if (filled === target.length) whole()
      }
    }
  }
}

/** @throws DecodeError when it is no header */
function sizeIn(header: Uint8Array): number {
  const view = new DataView(header.buffer)
  const size = view.getUint32(0, true)
  if (size > MAX_FRAME || size === 0 || view.getUint32(4, true) !== (size ^ MIX) >>> 0)
    throw new DecodeError('What came over the connection of a slot is no message')
  return size
}
