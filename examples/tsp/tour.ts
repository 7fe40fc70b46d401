/** A tour as an array: who is at which place, and at which place is whom. */
export class Tour {
  readonly n: number
  readonly order: Int32Array
  readonly place: Int32Array
  /** Every reversal since `mark()`: first and last place. Reversals undo themselves, so this is the way back. */
  #journal = new Int32Array(1 << 10)
  #size = 0

  constructor(order: Int32Array) {
    this.n = order.length
    this.order = order.slice()
    this.place = new Int32Array(order.length)
    for (let i = 0; i < order.length; i++) this.place[order[i] as number] = i
  }

  next(city: number): number {
    const i = (this.place[city] as number) + 1
    return this.order[i === this.n ? 0 : i] as number
  }

  prev(city: number): number {
    const i = this.place[city] as number
    return this.order[(i === 0 ? this.n : i) - 1] as number
  }

  /**
   * Turns the path from city `from` forward to city `to` round. Where the rest of the tour is shorter, that is
   * turned instead: the same cycle, walked in the other direction.
   */
  reverse(from: number, to: number): void {
    const i = this.place[from] as number
    const j = this.place[to] as number
    const inner = j - i + (j < i ? this.n : 0) + 1
    if (2 * inner <= this.n) this.#flip(i, j, inner)
    else this.#flip(j + 1 === this.n ? 0 : j + 1, i === 0 ? this.n - 1 : i - 1, this.n - inner)
  }

  /** Turns the path `a … b` round, in whichever direction it lies; `outer` is the city before `a`. */
  turn(a: number, b: number, outer: number): void {
    if (this.prev(a) === outer) this.reverse(a, b)
    else this.reverse(b, a)
  }

  /** Turns exactly the `length` places from `i` on round. */
  reversePlaces(i: number, length: number): void {
    this.#flip(i % this.n, (i + length - 1) % this.n, length)
  }

  #flip(i: number, j: number, length: number): void {
    if (length < 2) return
    if (this.#size + 2 > this.#journal.length) {
      const bigger = new Int32Array(this.#journal.length * 2)
      bigger.set(this.#journal)
      this.#journal = bigger
    }
    this.#journal[this.#size++] = i
    this.#journal[this.#size++] = j
    this.#swap(i, j, length)
  }

  #swap(i: number, j: number, length: number): void {
    const { order, place, n } = this
    for (let swaps = length >> 1; swaps > 0; swaps--) {
      const a = order[i] as number
      const b = order[j] as number
      order[i] = b
      place[b] = i
      order[j] = a
      place[a] = j
      if (++i === n) i = 0
      if (--j < 0) j = n - 1
    }
  }

  /** Number of journal entries; `undo(mark)` goes back to here. */
  get mark(): number {
    return this.#size
  }

  undo(mark: number): void {
    while (this.#size > mark) {
      const j = this.#journal[--this.#size] as number
      const i = this.#journal[--this.#size] as number
      this.#swap(i, j, j - i + (j < i ? this.n : 0) + 1)
    }
  }

  /** Forgets the way back. */
  commit(): void {
    this.#size = 0
  }
}
