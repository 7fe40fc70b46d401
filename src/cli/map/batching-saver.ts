import type { Destination, Saver, SaverEvents } from './saver.ts'

export interface PendingLine {
  to: Destination
  index: number
  text: string | undefined
}

/** Lines are written when they are so many bytes, or so old (milliseconds): few writes, short waits. */
const BATCH_BYTES = 64 * 1024
const BATCH_AGE = 20
/** More than this unwritten, and `add` waits. */
const MOST_PENDING = 1024 * 1024

/** Gathers lines into batches; one batch is written at a time. */
export abstract class BatchingSaver implements Saver {
  protected readonly events: SaverEvents
  #pending: PendingLine[] = []
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #error: Error | undefined

  constructor(events: SaverEvents) {
    this.events = events
  }

  abstract readonly saved: number

  /** Writes one batch. Never runs twice at once. */
  protected abstract writeBatch(lines: PendingLine[]): Promise<void>
  /** After the last batch, or after a failed one. */
  protected abstract finish(complete: boolean): Promise<void>

  async add(to: Destination, index: number, text: string | undefined): Promise<void> {
    if (this.#error) throw this.#error
    this.#pending.push({ to, index, text })
    this.#bytes += (text?.length ?? 0) + 16
    if (this.#bytes >= BATCH_BYTES) {
      const writing = this.#write()
      if (this.#bytes >= MOST_PENDING) await writing
    } else {
      this.#timer ??= setTimeout(() => this.#write(), BATCH_AGE)
    }
    if (this.#error) throw this.#error
  }

  async close(complete: boolean): Promise<void> {
    clearTimeout(this.#timer)
    while (!this.#error && (this.#writing || this.#pending.length > 0)) await this.#write()
    await this.finish(complete && !this.#error)
    if (this.#error) throw this.#error
  }

  /** Starts to write what is pending, unless that goes on already. Never rejects. */
  #write(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  async #drain(): Promise<void> {
    while (this.#pending.length > 0 && !this.#error) {
      const lines = this.#pending
      this.#pending = []
      this.#bytes = 0
      try {
        await this.writeBatch(lines)
      } catch (error) {
        this.#error = error as Error
        this.events.failed(this.#error)
      }
    }
  }
}
