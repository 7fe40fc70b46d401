/** What a node says, and when: results and output at once, the rest together a moment later. */
import type { Connection } from '../nats/connection.ts'
import { writeMessage } from '../nats/messages.ts'
import { subjects } from '../nats/subjects.ts'

/**
 * What is not urgent is said together, this long after the first of it, milliseconds: a message costs about 0.1 ms at
 * each end, and a write to the socket as much again.
 */
const LATER_MS = 100

export class Voice {
  /** What is told to JetStream refers to the queue that is there now. */
  synced = true
  readonly #connection: Connection
  readonly #isUnsaid: (client: string, job: number, chunk: number) => boolean
  readonly #held = new Map<string, [job: number, chunk: number][]>()
  readonly #acks: string[] = []
  #later: NodeJS.Timeout | undefined

  /** @param isUnsaid whether a chunk is held, and no report has said so */
  constructor(connection: Connection, isUnsaid: (client: string, job: number, chunk: number) => boolean) {
    this.#connection = connection
    this.#isUnsaid = isUnsaid
  }

  /** What is said while nobody listens is said again afterwards, by outbox and heartbeat. */
  publish(subject: string, bytes: Uint8Array): void {
    const { nc, up } = this.#connection
    if (up && !nc.isClosed()) nc.publish(subject, bytes)
  }

  /** Results, output and progress. */
  tell(client: string, bytes: Uint8Array): void {
    // Output of a chunk counts from whoever is known to hold it.
    if (this.#held.has(client)) this.flush()
    this.publish(subjects.client(client), bytes)
  }

  /** Tells JetStream about a chunk. */
  answer(ack: string, verb: '+ACK' | '+TERM' | '+WPI' | '-NAK'): void {
    const { nc, up } = this.#connection
    if (!this.synced || !up || nc.isClosed()) return
    if (verb !== '+ACK') return nc.publish(ack, verb)
    this.#acks.push(ack)
    this.#soon()
  }

  /** The chunk is held: to be said soon, unless its result is quicker, which says it too. */
  held(client: string, job: number, chunk: number): void {
    const chunks = this.#held.get(client)
    if (chunks) chunks.push([job, chunk])
    else this.#held.set(client, [[job, chunk]])
    this.#soon()
  }

  /** Says now what waits. */
  flush(): void {
    clearTimeout(this.#later)
    this.#later = undefined
    const { nc, up, identity: node } = this.#connection
    if (this.synced && up && !nc.isClosed()) for (const ack of this.#acks) nc.publish(ack, '+ACK')
    this.#acks.length = 0
    for (const [client, all] of this.#held) {
      const chunks = all.filter(([job, chunk]) => this.#isUnsaid(client, job, chunk))
      if (chunks.length > 0)
        this.publish(subjects.client(client), writeMessage({ type: 'held', node, chunks }))
    }
    this.#held.clear()
  }

  /** The queue may be another one when the server is back; what is to be said about chunks of this one is void. */
  disconnected(): void {
    this.synced = false
    this.#acks.length = 0
  }

  close(): void {
    clearTimeout(this.#later)
  }

  #soon(): void {
    this.#later ??= setTimeout(() => this.flush(), LATER_MS)
  }
}
