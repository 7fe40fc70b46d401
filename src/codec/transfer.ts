/**
 * Buffers that their owner gives away. The marks are kept beside the values, not around them: `transfer(x)` is `x`,
 * so a function that is called locally gets what it expects, and the encoder only looks when it meets a buffer.
 */
import type { Encoded } from './index.ts'
import { isBuffer } from './kinds.ts'

const KEY = Symbol.for('dicomp.transfer')

/** One table for all copies of the library in this realm (the runner has another copy than a task's bundle). */
function marks(): WeakSet<ArrayBuffer> {
  const host = globalThis as { [KEY]?: WeakSet<ArrayBuffer> }
  host[KEY] ??= new WeakSet()
  return host[KEY]
}

/**
 * Marks the ArrayBuffers in `value` (or only those of `list`) to be moved instead of copied the next time that they
 * are sent to a thread. The sender's views of them are detached afterwards. Where buffers cannot move (processes,
 * sockets) they are copied, and nothing is detached.
 *
 * @param value anything that can be sent; objects, arrays, Maps and Sets are searched for buffers
 * @param list the buffers to move, instead of all
 * @returns `value` itself
 */
export function transfer<T>(value: T, list?: readonly ArrayBuffer[]): T {
  const table = marks()
  for (const buffer of list ?? buffersIn(value)) table.add(buffer)
  return value
}

/** Whether a buffer was given away. */
export function isGiven(buffer: ArrayBuffer): boolean {
  return marks().has(buffer)
}

/** Takes the mark off, once the buffer is on a transfer list. */
export function clearGiven(buffer: ArrayBuffer): void {
  marks().delete(buffer)
}

/**
 * The same encoding with the given buffers taken from their owner, who sees them detached: what posting to a thread
 * does by itself, and a socket does not.
 */
export function takeGiven(encoded: Encoded): Encoded {
  const { bytes, attachments, transfer: given = [] } = encoded
  if (given.length === 0) return encoded
  const taken = new Map(given.map((buffer) => [buffer, structuredClone(buffer, { transfer: [buffer] })]))
  return { bytes, attachments: attachments.map((buffer) => taken.get(buffer as ArrayBuffer) ?? buffer) }
}

function buffersIn(root: unknown): Set<ArrayBuffer> {
  const found = new Set<ArrayBuffer>()
  const seen = new Set<object>()
  const stack: unknown[] = [root]
  while (stack.length > 0) {
    const value = stack.pop()
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    if (isBuffer(value)) found.add(value)
    else if (ArrayBuffer.isView(value)) {
      if (isBuffer(value.buffer)) found.add(value.buffer)
    } else if (value instanceof Map) {
      for (const [key, item] of value) stack.push(key, item)
    } else if (value instanceof Set) {
      for (const item of value) stack.push(item)
    } else if (Array.isArray(value)) {
      // An array of primitives has none; do not push a million numbers to learn it.
      for (const item of value) if (typeof item === 'object') stack.push(item)
    } else {
      for (const key of Object.keys(value)) {
        const property = Object.getOwnPropertyDescriptor(value, key)
        if (property !== undefined && 'value' in property) stack.push(property.value)
      }
    }
  }
  return found
}
