/** The arguments of nested tasks, from the message that brought them until each task is settled. */
import { encode } from '../codec/index.ts'
import { slicePayload } from '../slot/payload.ts'
import type { Payload } from '../slot/protocol.ts'
import type { Arguments } from './engine.ts'

interface Piece {
  start: number
  end: number
  payload: Payload
  skip: number[]
  /** Tasks that are not settled. */
  open: number
}

export class Pieces {
  /** By start; they do not overlap. */
  readonly #pieces: Piece[] = []
  readonly #spread: boolean

  /** @param spread see TaskSpec */
  constructor(spread: boolean) {
    this.#spread = spread
  }

  get length(): number {
    return this.#pieces.length
  }

  add(start: number, end: number, payload: Payload, skip: number[]): void {
    const at = this.#after(start)
    const before = this.#pieces[at - 1]
    // One task of many is tried again: its arguments are here as long as one of its neighbours is open.
    if (before && start < before.end) before.open += end - start
    else this.#pieces.splice(at, 0, { start, end, payload, skip, open: end - start })
  }

  /** These tasks have been delivered, or lost, or nobody wants them. */
  settled(start: number, count: number): void {
    for (let index = start; index < start + count; ) {
      const at = this.#after(index) - 1
      const piece = this.#pieces[at]
      if (!piece || index >= piece.end) return
      const end = Math.min(piece.end, start + count)
      piece.open -= end - index
      if (piece.open <= 0) this.#pieces.splice(at, 1)
      index = end
    }
  }

  arguments(start: number, count: number): Arguments {
    const found: Arguments[] = []
    for (let index = start; index < start + count; ) {
      const piece = this.#pieces[this.#after(index) - 1] as Piece
      const from = index - piece.start
      const some = Math.min(start + count, piece.end) - index
      const skip = piece.skip
        .filter((at) => at >= from && at < from + some)
        .map((at) => at - from + (index - start))
      found.push({ payload: slicePayload(piece.payload, from, some), skip, owned: false })
      index += some
    }
    return join(found, this.#spread)
  }

  /** Position of the first piece that starts after `index`. */
  #after(index: number): number {
    let low = 0
    let high = this.#pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#pieces[middle] as Piece).start <= index) low = middle + 1
      else high = middle
    }
    return low
  }
}

function join(parts: Arguments[], spread: boolean): Arguments {
  if (parts.length === 1) return parts[0] as Arguments
  const skip = parts.flatMap((part) => part.skip)
  if (parts.every(({ payload }) => payload.kind === 'f64')) {
    const values = parts.flatMap(({ payload }) => (payload.kind === 'f64' ? [...payload.values] : []))
    return { payload: { kind: 'f64', values }, skip, owned: false }
  }
  // A number stands for the only argument; beside other arguments it has to be written like them.
  const lists = parts.flatMap(({ payload }) =>
    payload.kind === 'any'
      ? payload.lists
      : Array.from(payload.values, (value) => encode([spread ? [value] : value])),
  )
  return { payload: { kind: 'any', lists }, skip, owned: false }
}
