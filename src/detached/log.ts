/** What the tasks of a detached job print, on its way to the stream of logs. */
import type { Connection } from '../nats/connection.ts'
import { detached } from '../nats/detached.ts'
import { write as frameOf, type LogLine } from './record.ts'
import { write } from './stream.ts'

const EVERY_MS = 200
const MESSAGE_CHARACTERS = 64 << 10
/** More than this is not kept while the server is away. */
const MOST_CHARACTERS = 4 << 20

export class LogWriter {
  readonly #connection: Connection
  readonly #subject: string
  #lines: LogLine[] = []
  #characters = 0
  #dropped = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  constructor(connection: Connection, job: string) {
    this.#connection = connection
    this.#subject = detached.log(connection.pool, job)
  }

  add(index: number, stream: 'stdout' | 'stderr', text: string): void {
    if (this.#characters + text.length > MOST_CHARACTERS) {
      this.#dropped++
      return
    }
    for (let at = 0; at < text.length; at += MESSAGE_CHARACTERS)
      this.#lines.push({ index, stream, text: text.slice(at, at + MESSAGE_CHARACTERS), at: Date.now() })
    this.#characters += text.length
    this.#timer ??= setTimeout(() => void this.flush(), EVERY_MS)
  }

  /** Stores all that has come. What cannot be stored is lost: output holds up no results. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#sending
    this.#sending = this.#send()
    await this.#sending
  }

  async #send(): Promise<void> {
    const lines = this.#lines
    if (this.#dropped > 0) {
      const text = `(${this.#dropped} pieces of output were dropped here)\n`
      lines.push({ index: 0, stream: 'stderr', text, at: Date.now() })
    }
    this.#lines = []
    this.#characters = 0
    this.#dropped = 0
    for (let at = 0; at < lines.length; ) {
      const batch: LogLine[] = []
      let size = 0
      for (
        ;
        at < lines.length && (size === 0 || size + (lines[at] as LogLine).text.length <= MESSAGE_CHARACTERS);
        at++
      ) {
        batch.push(lines[at] as LogLine)
        size += (lines[at] as LogLine).text.length
      }
      await write(this.#connection, this.#subject, frameOf(batch)).catch(() => {})
    }
  }
}
