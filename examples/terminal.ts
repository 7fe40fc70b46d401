/** What the examples print while they run: a line that renews itself on a terminal, plain lines elsewhere. */
export class Live {
  readonly #out = process.stderr
  readonly #everyMs: number
  #last = Number.NEGATIVE_INFINITY
  #drawn = 0

  /** @param everyMs least time between two plain lines; on a terminal every call draws */
  constructor(everyMs = 1000) {
    this.#everyMs = everyMs
  }

  get interactive(): boolean {
    return this.#out.isTTY === true
  }

  /** Shows the state of now, one or several lines. `always`: a plain line even if the last one was a moment ago. */
  show(text: string, always = false): void {
    if (this.interactive) {
      const width = this.#out.columns || 80
      const lines = text.split('\n').map((line) => line.slice(0, width - 1))
      this.#out.write(`${this.#drawn > 1 ? `\x1b[${this.#drawn - 1}A` : ''}\r\x1b[J${lines.join('\n')}`)
      this.#drawn = lines.length
      return
    }
    if (!always && performance.now() - this.#last < this.#everyMs) return
    this.#last = performance.now()
    this.#out.write(`${text}\n`)
  }

  /** Leaves what was shown last where it is. */
  end(): void {
    if (this.#drawn > 0) this.#out.write('\n')
    this.#drawn = 0
  }
}

/** A number with thousands separators. */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US')

/** "1 slot", "2 slots". */
export const amount = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`
