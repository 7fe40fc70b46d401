/** Cities that wait, each at most once, first come first served. */
export class Queue {
  readonly #ring: Int32Array
  readonly #waits: Uint8Array
  #head = 0
  #size = 0

  /** For cities 0 … n − 1. */
  constructor(n: number) {
    this.#ring = new Int32Array(n)
    this.#waits = new Uint8Array(n)
  }

  add(city: number): void {
    if (this.#waits[city]) return
    this.#waits[city] = 1
    const at = this.#head + this.#size++
    this.#ring[at < this.#ring.length ? at : at - this.#ring.length] = city
  }

  /** The next one, or -1. */
  take(): number {
    if (this.#size === 0) return -1
    const city = this.#ring[this.#head] as number
    if (++this.#head === this.#ring.length) this.#head = 0
    this.#size--
    this.#waits[city] = 0
    return city
  }
}
