/**
 * Arguments that were encoded and did not fit: they are not asked for twice, since buffers in them may have been
 * given away.
 */
import type { Encoded } from '../../codec/index.ts'
import type { Payload } from '../../slot/protocol.ts'
import type { JobClient } from '../engine.ts'

export class Leftovers {
  readonly #lists = new Map<number, { list: Encoded; skip: boolean }>()

  keep(start: number, { lists }: Extract<Payload, { kind: 'any' }>, skip: number[]): void {
    for (const [at, list] of lists.entries()) this.#lists.set(start + at, { list, skip: skip.includes(at) })
  }

  /** The arguments of a chunk, or of as many of its first tasks as are here. */
  take(client: JobClient, start: number, count: number): { payload: Payload; skip: number[]; count: number } {
    if (!this.#lists.has(start)) {
      const { payload, skip } = client.arguments(start, count, true)
      return { payload, skip, count }
    }
    const lists: Encoded[] = []
    const skip: number[] = []
    for (let at = 0; at < count; at++) {
      const kept = this.#lists.get(start + at)
      if (!kept) break
      this.#lists.delete(start + at)
      if (kept.skip) skip.push(at)
      lists.push(kept.list)
    }
    return { payload: { kind: 'any', lists }, skip, count: lists.length }
  }
}
