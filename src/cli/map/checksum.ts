import { crc32 } from 'node:zlib'

/** The checksum of `bytes` after others whose checksum is `before`. */
export function extendChecksum(before: number, bytes: Uint8Array | string): number {
  // zlib takes the null pointer of an empty buffer for "begin anew" and would answer 0.
  return bytes.length === 0 ? before : crc32(bytes, before)
}
