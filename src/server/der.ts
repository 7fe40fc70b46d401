/** As much of DER, the encoding of certificates, as it takes to write one (X.690). */

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
}

function element(tag: number, content: Buffer): Buffer {
  const size: number[] = []
  for (let rest = content.length; rest > 0; rest >>>= 8) size.unshift(rest & 0xff)
  const length = content.length < 128 ? [content.length] : [0x80 | size.length, ...size]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

export const sequence = (...parts: Buffer[]): Buffer => element(TAG.sequence, Buffer.concat(parts))
export const set = (...parts: Buffer[]): Buffer => element(TAG.set, Buffer.concat(parts))
export const utf8 = (text: string): Buffer => element(TAG.utf8, Buffer.from(text))
export const octets = (content: Buffer): Buffer => element(TAG.octets, content)
export const boolean = (value: boolean): Buffer => element(TAG.boolean, Buffer.from([value ? 0xff : 0]))
/** Whole bytes; a bit string may leave the last few `unused`. */
export const bits = (content: Buffer, unused = 0): Buffer =>
  element(TAG.bits, Buffer.concat([Buffer.from([unused]), content]))

/** A number above zero, as big-endian bytes. */
export function integer(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = bytes.subarray(first < 0 ? bytes.length - 1 : first)
  // The first bit is the sign.
  return element(
    TAG.integer,
    (digits[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : Buffer.from(digits),
  )
}

/** An object identifier in its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const number of rest) {
    const digits = [number & 0x7f]
    for (let left = number >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80)
    bytes.push(...digits)
  }
  return element(TAG.oid, Buffer.from(bytes))
}

/** A moment, in whole seconds. Years before 2050 have two digits in certificates (RFC 5280, 4.1.2.5). */
export function time(date: Date): Buffer {
  const text = `${date.toISOString().replace(/[-:T]|\.\d+/g, '')}`
  return date.getUTCFullYear() < 2050
    ? element(TAG.utcTime, Buffer.from(text.slice(2)))
    : element(TAG.time, Buffer.from(text))
}

/** An element whose meaning depends on where it stands; `constructed` where its content is elements. */
export const tagged = (number: number, content: Buffer, constructed: boolean): Buffer =>
  element(0x80 | (constructed ? 0x20 : 0) | number, content)
