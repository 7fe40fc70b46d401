/**
 * What a slot prints, on its way to people. Quiet output passes at once, busy output in pieces, and a flood is cut
 * to a rate, so that no task can fill its owner's memory; what it printed last always arrives.
 */

/** A piece of output and the task that printed it (chunk 0: none). */
export interface Piece {
  stream: 'stdout' | 'stderr'
  chunk: number
  offset: number
  text: string
}

/** Characters that may pass without a pause, and characters per millisecond after that. */
const BURST = 1 << 20
const RATE = 1 << 10
/** What is kept, at least, of the newest output while older output has to be dropped, characters. */
const TAIL = 16_384
/** Pieces that leave at once in each window of time; after that they leave together. */
const SINGLES = 64
const WINDOW_MS = 10

export class OutputGate {
  readonly #send: (piece: Piece) => void
  readonly #now: () => number
  #pending: Piece[] = []
  #size = 0
  #credit = BURST
  #refilledAt: number
  #windowAt: number
  #singles = 0
  /** What was dropped before the first pending piece. */
  #lines = 0
  #characters = 0
  #timer: NodeJS.Timeout | undefined

  constructor(send: (piece: Piece) => void, now: () => number = () => performance.now()) {
    this.#send = send
    this.#now = now
    this.#refilledAt = this.#windowAt = now()
  }

  write(stream: Piece['stream'], chunk: number, offset: number, text: string): void {
    const last = this.#pending.at(-1)
    if (last && last.stream === stream && last.chunk === chunk && last.offset === offset) last.text += text
    else this.#pending.push({ stream, chunk, offset, text })
    this.#size += text.length
    const now = this.#now()
    this.#credit = Math.min(BURST, this.#credit + (now - this.#refilledAt) * RATE)
    this.#refilledAt = now
    if (now - this.#windowAt > WINDOW_MS) {
      this.#windowAt = now
      this.#singles = 0
    }
    // The clock decides, not only the timer: a busy task never lets a timer run.
    const room = Math.max(TAIL, this.#credit)
    if (this.#size > 2 * room) this.#shorten(room)
    const free = this.#credit >= TAIL
    if (free && (this.#singles++ < SINGLES || this.#size >= TAIL)) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), free ? WINDOW_MS : TAIL / RATE).unref()
  }

  /** Everything that is held leaves now. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#pending.length === 0) return
    const pieces = this.#pending
    this.#pending = []
    // Never far below zero: one flood is not paid for with silence later.
    this.#credit = Math.max(-TAIL, this.#credit - this.#size)
    this.#size = 0
    const first = pieces[0] as Piece
    if (this.#characters > 0) {
      const what = `${this.#lines} lines (${this.#characters} characters)`
      first.text = `[dicomp: ${what} of output were dropped here, it came too fast]\n${first.text}`
      this.#lines = this.#characters = 0
    }
    for (const piece of pieces) this.#send(piece)
  }

  /** Drops the oldest output, whole lines of it, until `room` characters are left. */
  #shorten(room: number): void {
    for (let excess = this.#size - room; excess > 0; ) {
      const piece = this.#pending[0] as Piece
      let cut = Math.min(excess, piece.text.length)
      const lineEnd = piece.text.indexOf('\n', cut - 1) + 1
      if (lineEnd > 0 && lineEnd - cut < TAIL / 4) cut = lineEnd
      for (let at = piece.text.indexOf('\n'); at >= 0 && at < cut; at = piece.text.indexOf('\n', at + 1))
        this.#lines++
      this.#characters += cut
      this.#size -= cut
      excess -= cut
      if (cut < piece.text.length) piece.text = piece.text.slice(cut)
      else if (this.#pending.length > 1) this.#pending.shift()
      else piece.text = ''
    }
  }
}
