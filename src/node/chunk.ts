/** A chunk that this node holds: from the moment that it was pulled until all its results are confirmed. */
import type { TaskMessage } from '../nats/messages.ts'
import type { Delivery, Payload } from '../slot/protocol.ts'

/** Tasks without a result, and why. */
export interface Loss {
  start: number
  count: number
  error: Error
  attempt: number | undefined
}

export type ChunkState =
  /** Its code or arguments are being fetched. */
  | 'loading'
  /** Some of its tasks are here already, in another chunk. */
  | 'blocked'
  /** The engine has it. */
  | 'queued'
  /** Nothing more comes of it; results may be unconfirmed. */
  | 'over'

export class Chunk {
  readonly key: string
  readonly client: string
  readonly job: number
  readonly id: number
  readonly start: number
  readonly end: number
  readonly attempt: number
  /** Offsets. */
  readonly skip: number[]
  /** Little comes after it. */
  readonly tail: boolean
  /** Its arguments, one list per task; there once it is not `loading` any more, and until it is `over`. */
  payload: Payload | undefined
  /** Where JetStream hears of it; undefined when the server that gave it has lost its memory. */
  ack: string | undefined
  state: ChunkState = 'loading'
  /** Tasks without an outcome. */
  open: number
  /** Offset of the first task that was never sent to a slot. */
  begun = 0
  /** When it came, by `performance.now()`. */
  readonly since: number
  /** Outcomes that are not sent yet, see outbox.ts. */
  readonly outcomes: (Delivery | Loss)[] = []
  /** The number of its next message. */
  seq = 0
  /** Messages that were not confirmed. */
  unconfirmed = 0
  /** The message that says so has been written: nothing more comes. */
  finished = false
  readonly #settled: Uint8Array

  constructor(message: TaskMessage, ack: string | undefined, now: number) {
    const { client, job, chunk, start, count, attempt, skip, tail = false } = message
    this.key = keyOf(client, job, chunk)
    this.client = client
    this.job = job
    this.id = chunk
    this.start = start
    this.end = start + count
    this.attempt = attempt
    this.skip = skip
    this.tail = tail
    this.ack = ack
    this.since = now
    this.open = count
    this.#settled = new Uint8Array(count)
  }

  /** Whether the task is in it and has no outcome. */
  isOpen(index: number): boolean {
    return index >= this.start && index < this.end && this.#settled[index - this.start] === 0
  }

  /**
   * These tasks have an outcome, or nobody wants them.
   * @returns how many of them were open
   */
  settle(start: number, end: number): number {
    let count = 0
    const last = Math.min(end, this.end)
    for (let index = Math.max(start, this.start); index < last; index++) {
      if (this.#settled[index - this.start] !== 0) continue
      this.#settled[index - this.start] = 1
      count++
    }
    this.open -= count
    return count
  }

  /** The open tasks between `start` and `end`, as ranges. */
  *openRanges(start = this.start, end = this.end): Generator<[start: number, end: number]> {
    let index = Math.max(start, this.start)
    const last = Math.min(end, this.end)
    while (index < last) {
      while (index < last && !this.isOpen(index)) index++
      const from = index
      while (index < last && this.isOpen(index)) index++
      if (index > from) yield [from, index]
    }
  }
}

export const keyOf = (client: string, job: number, chunk: number): string => `${client} ${job} ${chunk}`
