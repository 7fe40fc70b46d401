/**
 * Results on their way to the clients. Each is kept and sent again until its client has confirmed it; only then a
 * chunk is acknowledged (see nats/README.md, 3). Outcomes of a chunk that come one after the other travel together.
 */
import { encode, toFrame } from '../codec/index.ts'
import { encodeError } from '../engine/nested.ts'
import type { Blobs } from '../nats/blobs.ts'
import { type Bytes, payloadFrame, writeMessage } from '../nats/messages.ts'
import { INLINE_BYTES, RESEND_MAX_MS, RESEND_MS } from '../nats/settings.ts'
import type { Delivery } from '../slot/protocol.ts'
import { type Chunk, keyOf, type Loss } from './chunk.ts'
import { gather } from './gather.ts'

/** Results of a chunk that still runs may wait this long for others: a message costs both ends 0.3 ms. */
const GATHER_MS = 200
/** How often it is looked for what has to be sent again, milliseconds. */
const LOOK_MS = RESEND_MS / 2

interface Letter {
  chunk: Chunk
  bytes: Uint8Array
  /** When it is sent again, and how long after that the next time. */
  due: number
  wait: number
}

export interface OutboxOptions {
  node: string
  /** For people: name of the node. */
  name: string
  blobs: Pick<Blobs, 'put'>
  send(client: string, bytes: Uint8Array): void
  /** Everything of a chunk that is over has been confirmed. */
  delivered(chunk: Chunk): void
}

export class Outbox {
  readonly #options: OutboxOptions
  /** By chunk and number. */
  readonly #letters = new Map<string, Letter>()
  /** Chunks whose outcomes wait for more, all for the same moment: a write costs more than what is in it. */
  readonly #gathering = new Set<Chunk>()
  #gathered: NodeJS.Timeout | undefined
  /** Chunks with a result on its way to the object store: what follows it has to wait. */
  readonly #storing = new Map<Chunk, Promise<void>>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: OutboxOptions) {
    this.#options = options
  }

  /** Messages that were not confirmed. */
  get size(): number {
    return this.#letters.size
  }

  /** The chunk has a new outcome, or is over: sends now what cannot wait. */
  notify(chunk: Chunk): void {
    if (chunk.state === 'over') return this.#flush(chunk)
    this.#gathering.add(chunk)
    this.#gathered ??= setTimeout(() => {
      this.#gathered = undefined
      for (const each of this.#gathering) this.#flush(each)
    }, GATHER_MS)
  }

  /** The client has got it. */
  confirm(client: string, job: number, chunk: number, seq: number): void {
    const id = `${keyOf(client, job, chunk)} ${seq}`
    const letter = this.#letters.get(id)
    if (!letter) return
    this.#letters.delete(id)
    this.#confirmed(letter.chunk)
  }

  /** Nobody wants what is left of the chunk. */
  forget(chunk: Chunk): void {
    this.#gathering.delete(chunk)
    chunk.outcomes.length = 0
    chunk.finished = true
    if (chunk.unconfirmed === 0) return
    chunk.unconfirmed = 0
    for (let seq = 0; seq < chunk.seq; seq++) this.#letters.delete(`${chunk.key} ${seq}`)
  }

  /** The connection is new: nobody knows what of the old one has arrived. */
  resend(): void {
    const now = performance.now()
    for (const letter of this.#letters.values()) this.#send(letter, now)
  }

  close(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#gathered)
    this.#gathering.clear()
    this.#letters.clear()
  }

  #confirmed(chunk: Chunk): void {
    chunk.unconfirmed--
    if (chunk.state === 'over' && chunk.unconfirmed === 0) this.#options.delivered(chunk)
  }

  #flush(chunk: Chunk): void {
    this.#gathering.delete(chunk)
    // What is being stored comes first; then the rest is flushed.
    if (chunk.finished || this.#storing.has(chunk)) return
    const over = chunk.state === 'over'
    const outcomes = gather(chunk.outcomes)
    chunk.outcomes.length = 0
    // Over without an outcome: handed back.
    if (over && outcomes.length === 0) outcomes.push(nothing(chunk))
    chunk.finished = over
    for (const [at, outcome] of outcomes.entries()) {
      this.#write(chunk, outcome, over && at === outcomes.length - 1)
    }
  }

  #write(chunk: Chunk, outcome: Delivery | Loss, last: boolean): void {
    const seq = chunk.seq++
    chunk.unconfirmed++
    const storing = this.#storing.get(chunk)
    if ('error' in outcome) {
      const bytes = this.#loss(chunk, seq, outcome, last)
      if (storing) this.#after(chunk, storing, () => this.#post(chunk, seq, bytes))
      else this.#post(chunk, seq, bytes)
      return
    }
    const frame = payloadFrame(outcome.payload)
    if (frame.length <= INLINE_BYTES && !storing) {
      return this.#post(chunk, seq, this.#result(chunk, seq, outcome, { inline: frame }, last))
    }
    this.#after(chunk, storing ?? Promise.resolve(), async () =>
      this.#post(chunk, seq, await this.#store(chunk, seq, outcome, frame, last)),
    )
  }

  /** Does it when the results of the chunk before it are stored. */
  #after(chunk: Chunk, before: Promise<void>, act: () => void | Promise<void>): void {
    const stored = before.then(act).then(() => {
      if (this.#storing.get(chunk) !== stored) return
      this.#storing.delete(chunk)
      if (chunk.outcomes.length > 0 || chunk.state === 'over') this.#flush(chunk)
    })
    this.#storing.set(chunk, stored)
  }

  /** The message of a large result; where it cannot be stored, that is the outcome. */
  async #store(
    chunk: Chunk,
    seq: number,
    delivery: Delivery,
    frame: Uint8Array,
    last: boolean,
  ): Promise<Uint8Array> {
    try {
      const bytes: Bytes =
        frame.length <= INLINE_BYTES ? { inline: frame } : { blob: await this.#options.blobs.put(frame) }
      return this.#result(chunk, seq, delivery, bytes, last)
    } catch (error) {
      const { start, count } = delivery
      return this.#loss(chunk, seq, { start, count, error: error as Error, attempt: undefined }, last)
    }
  }

  #result(chunk: Chunk, seq: number, delivery: Delivery, payload: Bytes, last: boolean): Uint8Array {
    const { start, count, attempt, failed, ms = 0, slot } = delivery
    const { node, name } = this.#options
    return writeMessage({
      type: 'result',
      node,
      job: chunk.job,
      chunk: chunk.id,
      seq,
      start,
      count,
      attempt,
      failed,
      last,
      ms,
      payload,
      slot: slot === '' ? name : `${name}, ${slot}`,
    })
  }

  #loss(chunk: Chunk, seq: number, { start, count, error, attempt }: Loss, last: boolean): Uint8Array {
    return writeMessage({
      type: 'lost',
      node: this.#options.node,
      job: chunk.job,
      chunk: chunk.id,
      seq,
      start,
      count,
      last,
      attempt,
      error: errorFrame(error),
    })
  }

  #post(chunk: Chunk, seq: number, bytes: Uint8Array): void {
    // The client has lost interest while it was stored.
    if (chunk.unconfirmed === 0) return
    const letter: Letter = { chunk, bytes, due: 0, wait: RESEND_MS }
    this.#letters.set(`${chunk.key} ${seq}`, letter)
    this.#send(letter, performance.now())
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref()
  }

  #send(letter: Letter, now: number): void {
    letter.due = now + letter.wait
    letter.wait = Math.min(letter.wait * 2, RESEND_MAX_MS)
    this.#options.send(letter.chunk.client, letter.bytes)
  }

  #look(): void {
    const now = performance.now()
    for (const letter of this.#letters.values()) if (letter.due <= now) this.#send(letter, now)
    if (this.#letters.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** A task may have thrown anything, also what is larger than a message. */
function errorFrame(error: Error): Uint8Array {
  const frame = toFrame(encodeError(error))
  if (frame.length <= INLINE_BYTES) return frame
  const { name, message } = error
  return toFrame(encode(Object.assign(new Error(message.slice(0, 10_000)), { name })))
}

const nothing = ({ start, attempt }: Chunk): Delivery => ({
  start,
  count: 0,
  attempt,
  failed: [],
  payload: { kind: 'f64', values: [] },
  ms: 0,
  slot: '',
})
