/** The part of a terminal stream that the live area needs; tests give a fake one. */
export interface TerminalStream {
  write: (...args: never[]) => boolean
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

type Write = (chunk: string | Uint8Array, ...rest: unknown[]) => boolean

/**
 * Lines at the bottom of a terminal that are drawn over and over. While it is open, the `write` of the given
 * streams is wrapped: what the program prints goes above the lines and never tears them. As long as the program
 * has printed an unfinished line (a prompt), nothing is drawn.
 */
export class LiveArea {
  readonly #screen: TerminalStream
  readonly #raw: Write
  readonly #restore: (() => void)[] = []
  #lines: string[] = []
  #drawn = 0
  #midLine = false

  /** @param screen where the lines go. @param others further streams that end on the same terminal. */
  constructor(screen: TerminalStream, others: TerminalStream[] = []) {
    this.#screen = screen
    this.#raw = (screen.write as unknown as Write).bind(screen)
    for (const stream of new Set([screen, ...others])) {
      if (stream === screen || stream.isTTY) this.#wrap(stream)
    }
  }

  get columns(): number {
    return this.#screen.columns || 80
  }

  /** Draws these lines in place of the ones before. They must not be wider than `columns`. */
  update(lines: string[]): void {
    const most = Math.max(1, (this.#screen.rows || 24) - 1)
    this.#lines =
      lines.length <= most ? lines : [...lines.slice(0, most - 1), `… and ${lines.length - most + 1} more`]
    this.#redraw('')
  }

  /** Prints a line that stays, above the live ones. */
  print(line: string): void {
    this.#redraw(this.#midLine ? `\n${line}\n` : `${line}\n`)
    this.#midLine = false
  }

  /** Removes the lines and gives the streams their own `write` back. */
  close(): void {
    this.#lines = []
    this.#redraw('')
    for (const restore of this.#restore.splice(0)) restore()
  }

  #redraw(above: string): void {
    const draw = this.#midLine && !above ? [] : this.#lines
    if (!above && draw.length === 0 && this.#drawn === 0) return
    this.#raw(this.#erase() + above + draw.join('\n'))
    this.#drawn = draw.length
  }

  #erase(): string {
    if (this.#drawn === 0) return ''
    const up = this.#drawn > 1 ? `\u001b[${this.#drawn - 1}A` : ''
    return `\r${up}\u001b[J`
  }

  #wrap(stream: TerminalStream): void {
    const own = Object.getOwnPropertyDescriptor(stream, 'write')
    const original = (stream.write as unknown as Write).bind(stream)
    const wrapped: Write = (chunk, ...rest) => {
      if (chunk.length === 0) return original(chunk, ...rest)
      if (this.#drawn > 0) {
        this.#raw(this.#erase())
        this.#drawn = 0
      }
      const ok = original(chunk, ...rest)
      const last = chunk[chunk.length - 1]
      this.#midLine = last !== '\n' && last !== 10
      this.#redraw('')
      return ok
    }
    Object.defineProperty(stream, 'write', { value: wrapped, configurable: true, writable: true })
    this.#restore.push(() => {
      if (stream.write !== (wrapped as unknown)) return // someone wrapped us in turn; theirs still calls ours
      if (own) Object.defineProperty(stream, 'write', own)
      else Reflect.deleteProperty(stream, 'write')
    })
  }
}
