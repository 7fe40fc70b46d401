import { latin1 } from './reader.ts'
import { MAX_SHAPE_KEYS } from './tags.ts'

/** The keys of a shape as the decoder uses it. */
export interface KnownShape {
  keys: readonly string[]
  /** No key is one that Object.prototype has, so a plain assignment makes an own property. */
  safe: boolean
}

const TABLE = 256
/** Definitions and shapes seen lately, by a hash of the definition: a small message must not make its keys again. */
const definitions: (Uint8Array | undefined)[] = new Array(TABLE).fill(undefined)
const shapes: (KnownShape | undefined)[] = new Array(TABLE).fill(undefined)

/**
 * The shape defined by the bytes from `start` (after the size) to `end`.
 * @returns undefined when they are no definition
 */
export function knownShape(bytes: Uint8Array, start: number, end: number): KnownShape | undefined {
  let hash = end - start
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0
  const slot = (hash ^ (hash >>> 16)) & (TABLE - 1)
  const known = definitions[slot]
  if (known !== undefined && same(known, bytes, start, end)) return shapes[slot]
  const shape = parse(bytes, start, end)
  if (shape === undefined) return undefined
  definitions[slot] = bytes.slice(start, end)
  shapes[slot] = shape
  return shape
}

function same(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false
  return true
}

function parse(bytes: Uint8Array, start: number, end: number): KnownShape | undefined {
  const count = bytes[start]!
  const keys: string[] = []
  let pos = start + 1
  let safe = true
  for (let i = 0; i < count; i++) {
    if (pos >= end) return undefined
    const wide = bytes[pos] === 255
    if (wide) pos++
    const length = bytes[pos++] ?? 0
    const size = wide ? length * 2 : length
    if (pos + size > end) return undefined
    let key = ''
    if (wide)
      for (let at = pos; at < pos + size; at += 2)
        key += String.fromCharCode(bytes[at]! | (bytes[at + 1]! << 8))
    else key = latin1(bytes, pos, length)
    pos += size
    if (key in Object.prototype) safe = false
    keys.push(key)
  }
  return pos === end && count <= MAX_SHAPE_KEYS ? { keys, safe } : undefined
}
