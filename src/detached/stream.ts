/**
 * Reading and writing single subjects of a stream. Nothing is made on the server for that: messages are asked for
 * directly, so a reader that dies leaves nothing behind.
 */
import { randomBytes } from 'node:crypto'
import type { Msg } from '@nats-io/transport-node'
import { ConnectError } from '../errors.ts'
import { API_ERROR, ApiError, request } from '../nats/api.ts'
import type { Connection } from '../nats/connection.ts'
import { isDenied, isNoResponders } from '../nats/failures.ts'
import { inboxOf } from '../nats/subjects.ts'

export interface Stored {
  subject: string
  /** Its number in the stream. */
  sequence: number
  /** When it was stored, milliseconds since 1970 by the server's clock. */
  time: number
  data: Uint8Array
  /** What its writer has named it, see Fenced. */
  mark: string | undefined
}

/** A message was not stored. */
export class StoreError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }

  /** There is no room, which may change. */
  get full(): boolean {
    return FULL.includes(this.code)
  }
}

/** Somebody else writes here, or it was removed. */
export class FencedError extends Error {}

const FULL: readonly number[] = [
  API_ERROR.insufficientResources,
  API_ERROR.memoryExceeded,
  API_ERROR.noStorage,
  API_ERROR.storeFailed,
]
const MARK = 'Dicomp-Mark'
const MARK_LINE = new RegExp(`^${MARK}: *(.+?)\\r?$`, 'm')
const REQUEST_MS = 5000
const PAUSE_MS = 200
/** A store that was never heard of gets this long to answer; one that was (a server that loads its disk) longer. */
const FIRST_PATIENCE_MS = 4000
const PATIENCE_MS = 60_000
/** Replicas lag behind by less than so many pauses. */
const LAGS = 5
/** At a time: the server cuts off who leaves 64 MB unread. */
const BATCH = 256
const BATCH_BYTES = 8 << 20

let requests = 0

/**
 * The messages of a subject (or of all that a pattern matches), from a number on, in their order. Any replica answers:
 * the newest may be missing. Waits while the server is away.
 */
export async function* scan(
  connection: Connection,
  stream: string,
  subject: string,
  from = 1,
): AsyncGenerator<Stored, void, undefined> {
  for (let next = from; ; ) {
    const { messages, more } = await insistently(connection, () => batch(connection, stream, subject, next))
    for (const message of messages) {
      yield message
      next = message.sequence + 1
    }
    if (!more) return
  }
}

interface FoundMessage {
  message: { subject: string; seq: number; time: string; data?: string; hdrs?: string }
}

/**
 * The last message of a subject, as the stream's leader has it: replicas, which scan() asks too, lag behind, and what
 * was stored and confirmed a moment ago may not be there yet.
 */
export function last(connection: Connection, stream: string, subject: string): Promise<Stored | undefined> {
  return insistently(connection, async () => {
    try {
      const path = `STREAM.MSG.GET.${stream}`
      const { message } = await request<FoundMessage>(connection, path, { last_by_subj: subject })
      const headers = Buffer.from(message.hdrs ?? '', 'base64').toString()
      return {
        subject: message.subject,
        sequence: message.seq,
        time: Date.parse(message.time) || 0,
        data: new Uint8Array(Buffer.from(message.data ?? '', 'base64')),
        mark: MARK_LINE.exec(headers)?.[1],
      }
    } catch (error) {
      if (error instanceof ApiError && error.code === API_ERROR.messageNotFound) return undefined
      throw error
    }
  })
}

export interface WriteOptions {
  /** Number of the last message of the subject; 0 for none. Otherwise it is not stored. */
  after?: number
  /** A name for the message. */
  mark?: string
}

/**
 * Stores a message. @returns its number
 * @throws StoreError it was refused; what Connection.request() throws, and then it may have been stored
 */
export async function write(
  connection: Connection,
  subject: string,
  data: Uint8Array,
  { after, mark }: WriteOptions = {},
): Promise<number> {
  const { headers } = await import('@nats-io/transport-node')
  const head = headers()
  if (after !== undefined) head.set('Nats-Expected-Last-Subject-Sequence', String(after))
  if (mark !== undefined) head.set(MARK, mark)
  const reply = await connection.request(subject, data, { timeout: REQUEST_MS, headers: head })
  const { error, seq } = reply.json<{
    seq?: number
    error?: { code: number; err_code?: number; description?: string }
  }>()
  if (error) throw new StoreError(error.err_code ?? error.code, error.description ?? 'refused')
  return seq ?? 0
}

/** Stores a message that may be stored twice, for as long as it takes. @throws StoreError it was refused */
export const writeInsistently = (
  connection: Connection,
  subject: string,
  data: Uint8Array,
  options?: WriteOptions,
): Promise<number> => insistently(connection, () => write(connection, subject, data, options))

/**
 * The only writer of a subject: each message says which one it comes after, so what somebody else has written is
 * noticed, and a message whose confirmation was lost is found again instead of written twice.
 */
export class Fenced {
  readonly #connection: Connection
  readonly #stream: string
  readonly #subject: string
  readonly #writer = randomBytes(9).toString('base64url')
  #messages = 0
  /** Number of the last message. */
  sequence: number

  constructor(connection: Connection, stream: string, subject: string, sequence: number) {
    this.#connection = connection
    this.#stream = stream
    this.#subject = subject
    this.sequence = sequence
  }

  /**
   * Waits while the server is away.
   * @throws FencedError; StoreError it was refused
   */
  async write(data: Uint8Array): Promise<void> {
    const mark = `${this.#writer}.${this.#messages++}`
    for (let stale = 0; ; ) {
      try {
        this.sequence = await write(this.#connection, this.#subject, data, { after: this.sequence, mark })
        return
      } catch (error) {
        const conflict = error instanceof StoreError && error.code === API_ERROR.wrongLastSequence
        if ((error instanceof StoreError && !conflict) || error instanceof ConnectError) throw error
        if (this.#connection.nc.isClosed()) throw error
        await this.#connection.untilUp()
        const there = await last(this.#connection, this.#stream, this.#subject)
        if (there?.mark === mark) {
          this.sequence = there.sequence
          return
        }
        const other = there !== undefined && there.sequence > this.sequence
        // What was sent a moment ago may be on its way to the replicas still; that of a subject that is gone never comes.
        if (other || (conflict && ++stale > LAGS)) throw new FencedError()
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
    }
  }
}

/** Connections whose store has answered. */
const heard = new WeakSet<Connection>()

/**
 * Repeats what fails because the connection does.
 * @throws StoreError it was refused; ConnectError the store does not answer, or may not be used
 */
export async function insistently<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  let failing: number | undefined
  for (let attempt = 1; ; attempt++) {
    if (!connection.up) {
      await connection.untilUp()
      failing = undefined
    }
    try {
      const result = await work()
      heard.add(connection)
      return result
    } catch (error) {
      if (error instanceof StoreError || error instanceof ConnectError || connection.nc.isClosed())
        throw error
      failing ??= performance.now()
      const patience = heard.has(connection) ? PATIENCE_MS : FIRST_PATIENCE_MS
      if (connection.up && performance.now() - failing > patience) {
        throw new ConnectError(
          'DICOMP_E_SERVER',
          isMissing(error)
            ? `The server has no store of detached jobs for the pool ${connection.pool} (yet)`
            : `The store of detached jobs does not answer: ${(error as Error).message}`,
          'start a node or `dicomp up`, which make it; see the log of the nats-server',
          error,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(2000, PAUSE_MS * attempt)))
    }
  }
}

const isMissing = (error: unknown): boolean =>
  isNoResponders(error) || (error instanceof ApiError && error.code === API_ERROR.streamNotFound)

function batch(
  connection: Connection,
  stream: string,
  subject: string,
  from: number,
): Promise<{ messages: Stored[]; more: boolean }> {
  const { nc, identity } = connection
  const inbox = `${inboxOf(identity)}.scan${requests++}`
  return new Promise((resolve, reject) => {
    const messages: Stored[] = []
    const end = (more: boolean | Error) => {
      clearTimeout(timer)
      stop()
      stopErrors()
      subscription.unsubscribe()
      if (typeof more === 'boolean') resolve({ messages, more })
      else if (messages.length > 0) resolve({ messages, more: true })
      else reject(more)
    }
    const subscription = nc.subscribe(inbox, {
      callback: (error, message) => {
        timer.refresh()
        if (error) return end(error)
        const code = message.headers?.code ?? 0
        if (code === 404) return end(false)
        if (code === 204) return end(Number(message.headers?.get('Nats-Num-Pending') ?? 0) > 0)
        const each = stored(message)
        if (each) messages.push(each)
        else end(new Error(message.headers?.description || 'nobody answers'))
      },
    })
    const timer = setTimeout(() => end(new Error('no answer')), REQUEST_MS)
    const stop = connection.onStatus(() => end(new Error('the connection was lost')))
    const stopErrors = connection.onError((error) => {
      if (isDenied(error)) end(denied(error))
    })
    const body = { seq: from, next_by_subj: subject, batch: BATCH, max_bytes: BATCH_BYTES }
    nc.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(body), { reply: inbox })
  })
}

function denied(error: Error): ConnectError {
  return new ConnectError(
    'DICOMP_E_ACCESS',
    `The server does not allow this: ${error.message}`,
    'use a link of the role client: `dicomp token new --role client`',
    error,
  )
}

function stored({ data, headers }: Msg): Stored | undefined {
  if (headers === undefined || headers.code !== 0) return undefined
  return {
    subject: headers.get('Nats-Subject'),
    sequence: Number(headers.get('Nats-Sequence')),
    time: Date.parse(headers.get('Nats-Time-Stamp')) || 0,
    data,
    mark: headers.get(MARK) || undefined,
  }
}
