/** Appends outcomes to the log of a job: what comes while one message is on its way goes with the next. */
import { DicompError } from '../errors.ts'
import { INLINE_BYTES } from '../nats/settings.ts'
import type { Keeper } from './keeper.ts'
import { type Entry, type Outcomes, write } from './record.ts'
import { type Fenced, FencedError, StoreError } from './stream.ts'

/** Payloads of one message together. */
const MESSAGE_BYTES = 384 << 10
/** When there is no room, it is tried again after this long. */
const AGAIN_MS = 2000

/** An entry that is still to be written, with its payload's frame. */
export interface Draft extends Omit<Entry, 'payload'> {
  frame: Uint8Array
}

interface WriterEvents {
  /** They are stored. */
  written(drafts: Draft[]): void
  /** Nothing more can be written here: somebody else drives the job, it was removed, the connection was closed. */
  ended(error: Error): void
}

export class OutcomeWriter {
  readonly #out: Fenced
  readonly #keeper: Keeper
  readonly #round: number
  readonly #events: WriterEvents
  readonly #queue: Draft[] = []
  #writing: Promise<void> | undefined
  #stopped = false
  /** Bytes that wait. */
  bytes = 0
  /** Why nothing can be written now. */
  trouble: string | undefined

  constructor(out: Fenced, keeper: Keeper, round: number, events: WriterEvents) {
    this.#out = out
    this.#keeper = keeper
    this.#round = round
    this.#events = events
  }

  /** Number of the last message. */
  get end(): number {
    return this.#out.sequence
  }

  add(draft: Draft): void {
    this.#queue.push(draft)
    this.bytes += draft.frame.length
    this.#writing ??= this.#run()
  }

  /** Resolves when nothing is on its way any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#writing
  }

  async #run(): Promise<void> {
    try {
      // All that is delivered in this turn goes together.
      await Promise.resolve()
      while (this.#queue.length > 0 && !this.#stopped) {
        const drafts = this.#next()
        await this.#insist(drafts)
        if (this.#stopped) return
        for (const { frame } of drafts) this.bytes -= frame.length
        this.#events.written(drafts)
      }
    } catch (error) {
      this.#stopped = true
      this.#events.ended(error as Error)
    } finally {
      this.#writing = undefined
    }
  }

  #next(): Draft[] {
    let bytes = 0
    let count = 0
    for (const { frame } of this.#queue) {
      const size = frame.length > INLINE_BYTES ? 0 : frame.length
      if (count > 0 && bytes + size > MESSAGE_BYTES) break
      bytes += size
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #insist(drafts: Draft[]): Promise<void> {
    const stored = new Map<Draft, Entry>()
    while (!this.#stopped) {
      try {
        for (const draft of drafts) if (!stored.has(draft)) stored.set(draft, await this.#entry(draft))
        const outcomes: Outcomes = {
          round: this.#round,
          entries: drafts.map((draft) => stored.get(draft) as Entry),
        }
        await this.#out.write(write(outcomes))
        this.trouble = undefined
        return
      } catch (error) {
        if (error instanceof FencedError || error instanceof DicompError) throw error
        if (!(error instanceof StoreError)) throw error
        this.trouble = error.full
          ? 'the store of detached jobs is full'
          : `the store refuses: ${error.message}`
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
      }
    }
  }

  async #entry({ frame, ...entry }: Draft): Promise<Entry> {
    const inline = frame.length <= INLINE_BYTES
    return { ...entry, payload: inline ? { inline: frame } : { kept: await this.#keeper.put(frame) } }
  }
}
