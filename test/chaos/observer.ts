/** Sees a cluster from outside, past all proxies: what nodes say, and what is on the servers. */
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { DRIVE, KINDS, streamOfKind } from '../../src/nats/detached.ts'
import { parseLink } from '../../src/nats/link.ts'
import { type Heartbeat, readMessage } from '../../src/nats/messages.ts'
import {
  ANY,
  bucketOf,
  consumerOf,
  LEVELS,
  newIdentity,
  streamOf,
  subjects,
} from '../../src/nats/subjects.ts'

export interface Store {
  /** Messages in the work queue, and of those the ones that nodes have. */
  queued: number
  pending: number
  /** Blobs (with their pieces) and bytes in the object store. */
  objects: number
  objectBytes: number
  /** Messages of detached jobs. */
  detached: number
}

export class Observer {
  readonly #connection: Connection
  readonly #heartbeats = new Map<string, Heartbeat & { heard: number }>()

  static async open(url: string): Promise<Observer> {
    return new Observer(
      await openConnection(parseLink(url), { role: 'client', identity: newIdentity('observer') }),
    )
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    connection.nc.subscribe(subjects.heartbeats(connection.pool), {
      callback: (_, { data }) => {
        const heartbeat = readMessage(data, ['heartbeat'])
        if (heartbeat) this.#heartbeats.set(heartbeat.node, { ...heartbeat, heard: performance.now() })
      },
    })
  }

  /** The newest heartbeats, of those that were heard in the last `ms`. */
  nodes(ms: number): Heartbeat[] {
    const old = performance.now() - ms
    return [...this.#heartbeats.values()].filter(({ heard, state }) => heard > old && state !== 'left')
  }

  async store(): Promise<Store> {
    const { pool } = this.#connection
    const [queue, objects, ...consumers] = await Promise.all([
      this.#ask<{ state: { messages: number } }>(`STREAM.INFO.${streamOf(pool)}`),
      this.#ask<{ state: { messages: number; bytes: number } }>(`STREAM.INFO.OBJ_${bucketOf(pool)}`),
      ...LEVELS.map((level) =>
        this.#ask<{ num_ack_pending: number }>(`CONSUMER.INFO.${streamOf(pool)}.${consumerOf(level, ANY)}`),
      ),
    ])
    const detached = await Promise.all(
      KINDS.map((kind) =>
        this.#ask<{ state: { messages: number } }>(`STREAM.INFO.${streamOfKind(kind, pool)}`),
      ),
    )
    return {
      queued: queue.state.messages,
      pending: consumers.reduce((sum, consumer) => sum + consumer.num_ack_pending, 0),
      objects: objects.state.messages,
      objectBytes: objects.state.bytes,
      detached: detached.reduce((sum, stream) => sum + stream.state.messages, 0),
    }
  }

  /** The queue of detached jobs, for who wonders why one does not go on. */
  async drives(): Promise<string> {
    const queue = streamOfKind('Q', this.#connection.pool)
    const [{ state }, consumer] = await Promise.all([
      this.#ask<{ state: object }>(`STREAM.INFO.${queue}`),
      this.#ask<Record<string, unknown>>(`CONSUMER.INFO.${queue}.${DRIVE}`),
    ])
    const { delivered, ack_floor, num_ack_pending, num_redelivered, num_waiting, num_pending } = consumer
    const numbers = { delivered, ack_floor, num_ack_pending, num_redelivered, num_waiting, num_pending }
    return `queue of jobs ${JSON.stringify(state)}, its consumer ${JSON.stringify(numbers)}`
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  async #ask<T>(path: string): Promise<T> {
    const reply = await this.#connection.nc.request(`$JS.API.${path}`, '', { timeout: 2000 })
    const answer = reply.json<T & { error?: { description: string } }>()
    if (answer.error) throw new Error(`${path}: ${answer.error.description}`)
    return answer
  }
}
