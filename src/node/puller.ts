/**
 * Takes chunks from the work queue: as many as the node can begin, urgent ones first. Each level of urgency, and each
 * need, is a consumer of its own.
 *
 * A request that is parked at a consumer is answered when something comes, so that an idle node gets a chunk the
 * moment that it is published; as long as it is parked, that consumer is known to be empty. Of the others the most
 * urgent is asked for all that is wanted and answers at once, also that it is empty: then a request is parked there
 * and the next one is asked. So a busy node needs one round trip for a chunk, and takes nothing before what is more
 * urgent. A parked request may be answered when the node has nothing free any more: that chunk goes back.
 */
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node'
import { isRelayed } from '../nats/messages.ts'
import { consumerOf, inboxOf, LEVELS, streamOf } from '../nats/subjects.ts'

/** A parked request is renewed after this long; a server that has forgotten it is noticed then. */
const PARK_MS = 20_000
/** An answer that is this late does not come any more. */
const LATE_MS = 1500
const NS_PER_MS = 1e6

export interface PullerOptions {
  nc: NatsConnection
  pool: string
  identity: string
  /** Chunks that the node wants beside those that it has. */
  wanted(): number
  accept(data: Uint8Array, ack: string, subject: string): void
  /** Gives a chunk back unread. */
  refuse(ack: string): void
  /** A consumer is not there: the queue has to be laid out again. */
  missing(why: string): void
}

interface Source {
  consumer: string
  need: string
  level: number
  /** It had more when it was heard of last. */
  hot: boolean
  pull: Pull | undefined
}

interface Pull {
  id: string
  source: Source
  parked: boolean
  /** Chunks that may still come. */
  left: number
  /** When it is given up, by `performance.now()`. */
  until: number
}

export class Puller {
  readonly #options: PullerOptions
  readonly #inbox: string
  readonly #subscription: Subscription
  /** In the order in which they are asked. */
  #sources: Source[] = []
  readonly #byConsumer = new Map<string, Source>()
  readonly #pulls = new Map<string, Pull>()
  readonly #timer: NodeJS.Timeout
  #next = 1
  #active = true

  constructor(options: PullerOptions) {
    this.#options = options
    this.#inbox = `${inboxOf(options.identity)}.pull`
    this.#subscription = options.nc.subscribe(`${this.#inbox}.*`, {
      callback: (_, message) => this.#receive(message),
    })
    this.#timer = setInterval(() => this.#giveUp(), LATE_MS).unref()
  }

  get needs(): Set<string> {
    return new Set(this.#sources.map(({ need }) => need))
  }

  /** Takes chunks with this need too; its consumers are there. */
  add(need: string): void {
    LEVELS.forEach((name, level) => {
      const consumer = consumerOf(name, need)
      if (this.#byConsumer.has(consumer)) return
      const source: Source = { consumer, need, level, hot: false, pull: undefined }
      this.#byConsumer.set(consumer, source)
      this.#sources.push(source)
    })
    this.#sources.sort((a, b) => a.level - b.level)
    this.refill()
  }

  /** Takes no more chunks with this need. */
  remove(need: string): void {
    this.#sources = this.#sources.filter(
      (source) => source.need !== need || !this.#byConsumer.delete(source.consumer),
    )
  }

  /** Asks for what is wanted now. */
  refill(): void {
    if (!this.#active) return
    const unknown: Source[] = []
    for (const source of this.#sources) {
      if (!source.pull) unknown.push(source)
      // It decides who is asked next.
      else if (!source.pull.parked) return
    }
    const [first] = unknown
    const wanted = first ? this.#options.wanted() : 0
    if (!first || wanted <= 0) return
    // Nobody waits to hear that the last one is empty.
    if (first.hot || unknown.length > 1) this.#ask(first, false, wanted)
    else this.#ask(first, true, 1)
  }

  /** Whether chunks of a consumer are waited for here, as far as is known. */
  isParked(consumer: string): boolean {
    return this.#byConsumer.get(consumer)?.pull?.parked === true
  }

  /** The server knows nothing of what was asked (any more). */
  reset(): void {
    this.#pulls.clear()
    for (const source of this.#sources) {
      source.pull = undefined
      source.hot = false
    }
    this.refill()
  }

  /** Asks for nothing more. What was asked for may still come, and is refused. */
  pause(): void {
    this.#active = false
  }

  resume(): void {
    this.#active = true
    this.reset()
  }

  stop(): void {
    this.#active = false
    clearInterval(this.#timer)
    this.#subscription.unsubscribe()
  }

  #ask(source: Source, parked: boolean, batch: number): void {
    const { nc, pool } = this.#options
    const id = String(this.#next++)
    const until = performance.now() + (parked ? PARK_MS : 0) + LATE_MS
    source.pull = { id, source, parked, left: batch, until }
    this.#pulls.set(id, source.pull)
    const request = parked ? { batch, expires: PARK_MS * NS_PER_MS } : { batch, no_wait: true }
    nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${streamOf(pool)}.${source.consumer}`, JSON.stringify(request), {
      reply: `${this.#inbox}.${id}`,
    })
  }

  #receive(message: Msg): void {
    // A chunk comes under the subject to which it was published, anything else under the inbox.
    if (message.subject.startsWith(this.#inbox)) {
      const status = message.headers
      const code = status?.code ?? 0
      // A sign of life of the server.
      if (code === 100) return
      return this.#ended(message.subject.slice(this.#inbox.length + 1), code, status?.description ?? '')
    }
    const ack = message.reply
    if (ack === undefined) return
    const source = this.#byConsumer.get(consumerIn(ack))
    const pull = source?.pull
    const asked = pull !== undefined && !pull.parked
    const wanted = this.#active && (asked || this.#options.wanted() > 0)
    if (source) source.hot = !wanted || pendingIn(ack) > 0
    if (pull && --pull.left <= 0) this.#end(pull)
    if (wanted) {
      // Something relayed is not what a client sent: it reads as no task.
      this.#options.accept(isRelayed(message) ? new Uint8Array(0) : message.data, ack, message.subject)
    } else this.#options.refuse(ack)
    this.refill()
  }

  #ended(id: string, code: number, why: string): void {
    const pull = this.#pulls.get(id)
    if (!pull) return
    this.#end(pull)
    // 408 at once: it has something, but for those who are parked there already. Asked again and again by a thousand
    // nodes, a server does nothing else.
    if (code === 404 || (code === 408 && !pull.parked)) {
      pull.source.hot = false
      if (this.#active && this.#options.wanted() > 0) this.#ask(pull.source, true, 1)
    } else if (code !== 408) return this.#options.missing(`${pull.source.consumer}: ${code} ${why}`)
    this.refill()
  }

  #end(pull: Pull): void {
    this.#pulls.delete(pull.id)
    pull.source.pull = undefined
  }

  #giveUp(): void {
    const now = performance.now()
    for (const pull of this.#pulls.values()) if (pull.until < now) this.#end(pull)
    this.refill()
  }
}

/** `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<place>.<order>.<time>.<pending>`: what is left. */
function pendingIn(ack: string): number {
  const tokens = ack.split('.')
  return Number(tokens.length > 9 ? tokens[10] : tokens[8])
}

/** The same: the consumer. */
export function consumerIn(ack: string): string {
  const tokens = ack.split('.')
  return (tokens.length > 9 ? tokens[5] : tokens[3]) ?? ''
}
