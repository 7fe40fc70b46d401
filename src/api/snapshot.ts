import { decode, type Entities, encode } from '../codec/index.ts'

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
  const { bytes, attachments } = encode(args, { path: 'args', entities, shared: true })
  const copies = attachments.map((buffer) => (buffer instanceof ArrayBuffer ? buffer.slice(0) : buffer))
  return decode({ bytes, attachments: copies }, { entities }) as unknown[]
}
