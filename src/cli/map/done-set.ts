/** Consecutive numbers: `[first, count]`. */
export type Span = [first: number, count: number]

/**
 * A set of record numbers kept as spans. What a run has finished is everything up to the last record that it read
 * except the few that were in flight, so the set stays small for inputs of any size.
 */
export class DoneSet {
  /** Starts (inclusive) and ends (exclusive) of the spans, ascending and never touching. */
  #starts: number[] = []
  #ends: number[] = []
  #size = 0

  constructor(spans: readonly Span[] = []) {
    for (const [first, count] of spans) {
      const last = this.#ends.at(-1) ?? -1
      if (!(first > last && count > 0))
        throw new RangeError(`spans must ascend without touching: ${first} after ${last}`)
      this.#starts.push(first)
      this.#ends.push(first + count)
      this.#size += count
    }
  }

  /** How many numbers are in the set. */
  get size(): number {
    return this.#size
  }

  get spans(): Span[] {
    return this.#starts.map((start, i) => [start, (this.#ends[i] ?? start) - start])
  }

  has(n: number): boolean {
    const i = this.#lastStartUpTo(n)
    return i >= 0 && n < (this.#ends[i] ?? 0)
  }

  /** @returns false when it was there already */
  add(n: number): boolean {
    const i = this.#lastStartUpTo(n)
    const end = this.#ends[i]
    if (end !== undefined && n < end) return false
    const joinsLeft = end === n
    const joinsRight = this.#starts[i + 1] === n + 1
    if (joinsLeft && joinsRight) {
      this.#ends[i] = this.#ends[i + 1] as number
      this.#starts.splice(i + 1, 1)
      this.#ends.splice(i + 1, 1)
    } else if (joinsLeft) this.#ends[i] = n + 1
    else if (joinsRight) this.#starts[i + 1] = n
    else {
      this.#starts.splice(i + 1, 0, n)
      this.#ends.splice(i + 1, 0, n + 1)
    }
    this.#size++
    return true
  }

  /** Index of the last span that starts at or before n, or -1. */
  #lastStartUpTo(n: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#starts[middle] as number) <= n) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
