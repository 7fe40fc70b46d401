/** Messages on a byte stream: a 32-bit length (little endian), then an encoded value. */
import type { Writable } from 'node:stream'
import { decode, encode, fromFrame, toFrame } from '../codec/index.ts'

const HEADER = 4

export function writeFrame(stream: Writable, message: unknown): void {
  const body = toFrame(encode(message))
  const header = Buffer.allocUnsafe(HEADER)
  header.writeUInt32LE(body.byteLength)
  stream.cork()
  stream.write(header)
  stream.write(body)
  stream.uncork()
}

/** A listener for a stream's 'data' that calls `receive` with each whole message. */
export function frames(receive: (message: unknown) => void): (data: Buffer) => void {
  const parts: Buffer[] = []
  let have = 0
  let need = HEADER
  let inBody = false

  const take = (): Buffer => {
    // Copied into a buffer of its own: typed arrays inside are views that must be aligned and may be kept.
    const whole = Buffer.from(new ArrayBuffer(need))
    let filled = 0
    while (filled < need) {
      const part = parts[0] as Buffer
      const used = part.copy(whole, filled, 0, need - filled)
      filled += used
      if (used === part.length) parts.shift()
      else parts[0] = part.subarray(used)
    }
    have -= need
    return whole
  }

  return (data) => {
    parts.push(data)
    have += data.length
    while (have >= need) {
      const whole = take()
      if (inBody) {
        need = HEADER
        inBody = false
        receive(decode(fromFrame(whole)))
      } else {
        need = whole.readUInt32LE()
        inBody = true
      }
    }
  }
}
