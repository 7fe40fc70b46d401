import { decode, type Entities, encode, transfer } from '../codec/index.ts'

/**
 * A deep copy of arguments, for a call that has to wait before its arguments can be encoded: what the caller
 * changes meanwhile must not change the call. Functions and classes are kept as they are.
 */
export function snapshot(args: unknown[]): unknown[] {
  const known: Function[] = []
  const entities: Entities = {
    indexOf(fn) {
      const at = known.indexOf(fn)
      return at >= 0 ? at : known.push(fn) - 1
    },
    at: (index) => known[index],
  }
  const { bytes, attachments, transfer: given = [] } = encode(args, { path: 'args', entities, shared: true })
  const copies = attachments.map((buffer) => {
    if (!(buffer instanceof ArrayBuffer)) return buffer
    if (!given.includes(buffer)) return buffer.slice(0)
    // It was given away: it moves now, and once more when the call leaves.
    const moved = structuredClone(buffer, { transfer: [buffer] })
    return transfer(moved, [moved])
  })
  return decode({ bytes, attachments: copies }, { entities }) as unknown[]
}
