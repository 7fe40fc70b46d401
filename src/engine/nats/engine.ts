/**
 * The engine of a cluster: its tasks run on nodes that take them from a queue on a nats-server. It does what the
 * ledger decides and decides nothing itself. See nats/README.md for what is said on the wire.
 */
import type { Msg } from '@nats-io/transport-node'
import { decode, type Encoded, fromFrame } from '../../codec/index.ts'
import { Ledger } from '../../core/ledger.ts'
import type { LedgerAction, LedgerEvent } from '../../core/ledger-state.ts'
import { runs } from '../../core/pairs.ts'
import { BlobError, ClosedError, DecodeError, LinkError, NodeLostError } from '../../errors.ts'
import { Blobs } from '../../nats/blobs.ts'
import { type Connection, openConnection } from '../../nats/connection.ts'
import { describeLink, type Link, parseLink, readLink } from '../../nats/link.ts'
import {
  isRelayed,
  type LostMessage,
  type Need,
  type ResultMessage,
  readMessage,
  readPayload,
  writeMessage,
} from '../../nats/messages.ts'
import {
  ALIVE_MS,
  CHUNK_TARGET_MS,
  INLINE_BYTES,
  LONG_CHUNK_TARGET_MS,
  PUBACK_MS,
} from '../../nats/settings.ts'
import { ANY, inboxOf, isIdentity, newIdentity, subjects } from '../../nats/subjects.ts'
import type { Payload } from '../../slot/protocol.ts'
import { payloadBytes } from '../../slot/wire.ts'
import type { Engine, EngineJob, JobClient, NodeInfo, TaskSpec } from '../engine.ts'
import { Departures } from './departures.ts'
import { newJob, type RemoteJob } from './job.ts'
import { Litter } from './litter.ts'
import { Mail } from './mail.ts'
import { heldFor, Members } from './members.ts'
import { Parcels } from './parcels.ts'
import { reason, Waiting } from './waiting.ts'

/** How often lost nodes and unanswered messages are looked for, milliseconds, and while no task is open. */
const TICK_MS = 250
const IDLE_TICK_MS = 750
/** The first nodes get this long to say that they are there. */
const ROLL_MS = 300
/** After each that does, the next ones get this long, or twice as long as it took. */
const OTHERS_MS = 30
/** How often arguments or results of a job may be missing in the object store before its tasks fail. */
const MISSING = 3

export interface NatsEngineOptions {
  /** @default 4500 */
  connectTimeoutMs?: number
}

export class NatsEngine implements Engine {
  readonly #connection: Connection
  readonly #ledger = new Ledger({
    targetMs: CHUNK_TARGET_MS,
    longTargetMs: LONG_CHUNK_TARGET_MS,
    inlineBytes: INLINE_BYTES,
    pubAckMs: PUBACK_MS,
  })
  readonly #members = new Members(performance.now())
  readonly #jobs = new Map<number, RemoteJob>()
  readonly #parcels: Parcels
  readonly #blobs: Blobs
  readonly #litter: Litter
  readonly #mail: Mail
  readonly #waiting = new Waiting()
  readonly #departures: Departures
  /** Results that are being fetched: `node job chunk seq`. */
  readonly #fetching = new Set<string>()
  readonly #timers: NodeJS.Timeout[] = []
  #nextTick: NodeJS.Timeout | undefined
  readonly #todo: LedgerAction[] = []
  #acting = false
  #server: string | undefined
  #capacityChanged = true
  #keepAlive: NodeJS.Timeout | undefined
  #open = 0
  #nextJob = 1
  /** `bye` was said, although it goes on. */
  #saidBye = false
  #closed: Error | undefined
  readonly #onBeforeExit = (): void => this.#pauseAtExit()

  /**
   * Connects to the cluster's nats-server. Afterwards the engine gets over whatever becomes of the connection.
   * @throws LinkError, ConnectError within `connectTimeoutMs`
   */
  static async open(link: string | Link, options: NatsEngineOptions = {}): Promise<NatsEngine> {
    const parsed = typeof link === 'string' ? parseLink(readLink(link)) : link
    if (parsed.role === 'node' || parsed.role === 'viewer') {
      throw new LinkError(
        `The link is for a ${parsed.role}: it may not submit work`,
        'make one for a client: `dicomp token new --role client`',
      )
    }
    const identity = newIdentity(parsed.name ?? parsed.user)
    const connection = await openConnection(parsed, { role: 'client', identity, ...options })
    const engine = new NatsEngine(connection)
    await engine.#roll()
    return engine
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    const { identity, pool, nc } = connection
    this.#blobs = new Blobs(connection)
    this.#litter = new Litter(this.#blobs)
    this.#parcels = new Parcels(this.#blobs, this.#litter, identity)
    this.#departures = new Departures({
      connection,
      parcels: this.#parcels,
      litter: this.#litter,
      job: (key) => this.#jobs.get(key),
      handle: (event) => void this.#handle(event),
      count: (job, change) => this.#count(job, change),
      publish: (subject, bytes, reply) => {
        this.#publish(subject, bytes, reply)
        this.#mail.post()
      },
      nodeWithRoom: (...about) => (connection.up ? this.#members.lend(...about) : undefined),
      confirmations: (node) => this.#mail.confirmations(node),
    })
    this.#mail = new Mail(identity, (node, bytes) => {
      if (isIdentity(node)) this.#publish(subjects.node(node, identity), bytes)
    })
    this.#server = nc.info?.server_id
    this.#subscribe(subjects.client(identity), (message) => this.#receive(message))
    this.#subscribe(subjects.heartbeats(pool), (message) => this.#heartbeat(message))
    this.#subscribe(`${inboxOf(identity)}.ack.*`, (message) => this.#acked(message))
    connection.onStatus((status) => this.#status(status))
    void connection.closed.then((error) => this.#refused(error))
    this.#tickIn(IDLE_TICK_MS)
    this.#every(ALIVE_MS, () => this.#alive())
    connection.unref()
    process.on('beforeExit', this.#onBeforeExit)
  }

  /** Slots of all nodes; at least 1, since nodes may come. */
  get slots(): number {
    return Math.max(1, this.#members.capacity({}).slots)
  }

  nodes(): NodeInfo[] {
    return this.#members.list()
  }

  /** What tasks wait for, and how long; undefined when none has to. */
  waiting(): string | undefined {
    return this.#waiting.text(performance.now())
  }

  async connection(): Promise<Connection> {
    if (this.#closed) throw this.#closed
    return this.#connection
  }

  warm(): void {}

  submit(spec: TaskSpec, client: JobClient): EngineJob {
    if (this.#closed) throw this.#closed
    const key = this.#nextJob++
    const job = newJob(key, spec, client)
    this.#jobs.set(key, job)
    const { priority, cap, solo, concurrency } = spec
    this.#handle({
      type: 'job',
      spec: {
        id: key,
        need: job.needKey,
        priority,
        cap,
        solo: solo || spec.timeout !== undefined,
        concurrency,
      },
    })
    this.#tellCapacity(job)
    if (job.needKey !== ANY || this.#saidBye) this.#alive()
    void this.#departures.describe(job)
    return {
      add: (start, end, attempt) => {
        const failure = this.#closed ?? job.failure
        if (failure) return client.lost(start, end - start, failure)
        this.#count(job, end - start)
        this.#handle({ type: 'tasks', job: key, start, end, attempt })
      },
      drop: (start, end) => {
        if (!this.#jobs.has(key)) return
        this.#count(job, start - end)
        this.#handle({ type: 'drop', job: key, start, end })
      },
      cancel: () => this.#forget(job),
      forget: () => this.#forget(job),
      snapshot: () => this.#ledger.snapshot(key, (node) => this.#members.slotsOf(node)),
    }
  }

  /** Says goodbye, so that nodes stop what they run for it, and resolves when nothing is left here. */
  async close(): Promise<void> {
    this.#end(new ClosedError())
    if (this.#connection.up) await this.#litter.clear()
    await this.#connection.close()
  }

  #end(error: Error): void {
    if (this.#closed) return
    this.#closed = error
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#nextTick)
    process.off('beforeExit', this.#onBeforeExit)
    for (const job of [...this.#jobs.values()]) {
      this.#forget(job)
      job.client.lost(0, Infinity, error)
    }
    this.#mail.post()
    this.#say({ type: 'bye', client: this.#connection.identity })
    clearInterval(this.#keepAlive)
  }

  // ---- the ledger ---------------------------------------------------------------------------------------

  /** @returns the actions that only who has the event can carry out */
  #handle(event: LedgerEvent): Extract<LedgerAction, { type: 'deliver' }>[] {
    const deliveries: Extract<LedgerAction, { type: 'deliver' }>[] = []
    for (const action of this.#ledger.handle(event, performance.now())) {
      if (action.type === 'deliver') deliveries.push(action)
      else this.#todo.push(action)
    }
    if (this.#acting) return deliveries
    this.#acting = true
    // What an action brings about comes behind the others.
    for (let at = 0; at < this.#todo.length; at++) {
      const action = this.#todo[at] as LedgerAction
      unharmed(() => this.#act(action))
    }
    this.#todo.length = 0
    this.#acting = false
    return deliveries
  }

  #act(action: LedgerAction): void {
    switch (action.type) {
      case 'publish':
        return this.#departures.prepare(action.chunk)
      case 'republish':
        this.#members.giveBack(action.chunk.id)
        return this.#departures.publish(action.chunk)
      case 'taken':
        return this.#departures.taken(action.chunk)
      case 'closed':
        this.#members.giveBack(action.chunk.id)
        return this.#departures.closed(action.chunk)
      case 'drop':
        return this.#mail.drop(action.node, action.job, action.chunk)
      case 'dropTasks':
        return this.#mail.dropTasks(action.node, action.job, action.chunk, action.start, action.end)
      case 'forget':
        return this.#mail.forget(action.node, action.job)
      case 'giveUp': {
        const job = this.#jobs.get(action.job)
        if (!job) return
        this.#count(job, -1)
        return job.client.lost(action.index, 1, new NodeLostError(job.spec.name, action.index, action.losses))
      }
    }
  }

  // ---- what leaves --------------------------------------------------------------------------------------

  #publish(subject: string, bytes: Uint8Array, reply?: string): void {
    const { nc, up } = this.#connection
    // What is said while nobody listens is said again afterwards.
    if (up && !nc.isClosed()) nc.publish(subject, bytes, reply === undefined ? {} : { reply })
  }

  // ---- what comes ---------------------------------------------------------------------------------------

  #subscribe(subject: string, receive: (message: Msg) => void): void {
    this.#connection.nc.subscribe(subject, {
      callback: (error, message) => {
        // Refused by the server: the connection tells why.
        if (!error) unharmed(() => receive(message))
      },
    })
  }

  #acked(message: Msg): void {
    const chunk = Number(message.subject.slice(message.subject.lastIndexOf('.') + 1))
    // No responders: the stream is not there. Otherwise JSON, with an `error` where it was refused.
    const refused = message.headers !== undefined || message.string().includes('"error"')
    this.#handle({ type: refused ? 'refused' : 'acked', chunk })
  }

  #heartbeat(message: Msg): void {
    const beat = isRelayed(message) ? undefined : readMessage(message.data, ['heartbeat'])
    const { pool, identity } = this.#connection
    if (!beat || message.subject !== subjects.heartbeat(pool, beat.node)) return
    const left = beat.state === 'left'
    const changed = this.#members.beat(beat, identity, performance.now())
    if (changed) this.#tellCapacities()
    else this.#capacityChanged = true
    this.#handle({ type: 'holds', node: beat.node, chunks: heldFor(identity, beat) })
    if (left) this.#handle({ type: 'nodeLost', node: beat.node })
  }

  #receive(received: Msg): void {
    // Stored things can be had under this subscription by somebody who must not publish to it.
    if (received.subject !== subjects.client(this.#connection.identity) || isRelayed(received)) return
    const message = readMessage(received.data, ['held', 'full', 'result', 'lost', 'log', 'progress'])
    if (!message) return
    this.#members.heard(message.node, performance.now())
    switch (message.type) {
      case 'held':
        return void this.#handle({ type: 'held', node: message.node, chunks: message.chunks })
      case 'full':
        this.#members.full(message.node, message.chunks.length)
        for (const [key, chunk] of message.chunks) {
          this.#jobs.get(key)?.knownBy.delete(message.node)
          this.#handle({ type: 'returned', node: message.node, chunk })
        }
        return
      case 'result':
        return this.#result(message)
      case 'lost':
        return this.#lost(message)
      case 'log':
        return this.#clientOf(message)?.log(message.index, message.stream, message.text)
      case 'progress': {
        const client = this.#clientOf(message)
        if (!client) return
        try {
          client.progressed(message.index, fromFrame(message.value))
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }
    }
  }

  /** Who wants to hear of a task from this node. */
  #clientOf(at: { node: string; job: number; chunk: number; index: number }): JobClient | undefined {
    if (!this.#ledger.runs(at.node, at.chunk, at.index)) return undefined
    return this.#jobs.get(at.job)?.client
  }

  #result(message: ResultMessage): void {
    const { payload } = message
    if ('inline' in payload) return this.#settle(message, payload.inline)
    const { node, job, chunk, seq, start, count } = message
    // Old news: fetching it would be in vain.
    if (!this.#ledger.isOpen(job, start, count)) return this.#report(message, 0)
    const key = `${node} ${job} ${chunk} ${seq}`
    if (this.#fetching.has(key)) return
    this.#fetching.add(key)
    this.#litter.use(payload.blob)
    this.#blobs
      .getFrame(payload.blob)
      .then(
        (frame) => this.#settle(message, frame),
        (error) => this.#unreadable(message, error),
      )
      .finally(() => {
        this.#fetching.delete(key)
        this.#litter.release(payload.blob)
      })
  }

  #settle(message: ResultMessage, frame: Uint8Array | Encoded): void {
    const { start, count, attempt, failed, slot } = message
    let payload: Payload
    try {
      payload = readPayload(frame)
      if (payload.kind === 'f64' && payload.values.length !== count)
        throw new DecodeError('The results are cut')
    } catch (error) {
      return this.#unreadable(message, error as Error)
    }
    const job = this.#jobs.get(message.job)
    if (job) job.missing = 0
    job?.knownBy.add(message.node)
    this.#report(message, payloadBytes(payload), (ignore) =>
      job?.client.delivered({
        start,
        count,
        attempt,
        failed,
        payload,
        slot,
        ...(ignore.length && { ignore }),
      }),
    )
  }

  #lost(message: LostMessage): void {
    let error: Error
    try {
      error = decode(fromFrame(message.error)) as Error
      if (!(error instanceof Error)) throw new DecodeError('A loss has no error')
    } catch (cause) {
      error = cause as Error
    }
    // Something of it has been removed from the object store: it is put there again.
    if (isMissing(error) || isMissing(error.cause)) return this.#unreadable(message, error)
    const { start, count, attempt } = message
    this.#report(message, 0, (ignore) => {
      const client = this.#jobs.get(message.job)?.client
      for (const [from, to] of runs(start, count, ignore)) client?.lost(from, to - from, error, attempt)
    })
  }

  /** Results or arguments that cannot be had: the tasks run again, unless that goes on for ever. */
  #unreadable(message: ResultMessage | LostMessage, error: Error): void {
    const job = this.#jobs.get(message.job)
    const { start, count } = message
    // Many chunks miss the same, and word of it comes when it has been stored again.
    const isNews = job && !job.storing && message.chunk > job.storedAfter
    if (isNews && ++job.missing > MISSING) {
      return this.#report({ ...message, ms: undefined }, 0, (ignore) => {
        for (const [from, to] of runs(start, count, ignore)) job.client.lost(from, to - from, error)
      })
    }
    if (isNews) {
      this.#parcels.forgetStored()
      this.#handle({ type: 'unready', job: job.key })
    }
    this.#report({ ...message, count: 0, last: true }, 0)
    if (isNews) void this.#departures.describe(job)
  }

  /** @param deliver called with the offsets that do not count, if any outcome does */
  #report(
    message: Omit<ResultMessage | LostMessage, 'type'> & { ms?: number | undefined },
    bytes: number,
    deliver: (ignore: number[]) => void = () => {},
  ): void {
    const { node, job, chunk, seq, start, count, last, ms } = message
    // What comes again is confirmed again: the first confirmation was lost.
    this.#mail.confirm(node, job, chunk, seq)
    const event = { type: 'report', node, job, chunk, seq, start, count, last, ms, bytes } as const
    for (const { ignore } of this.#handle(event)) {
      const known = this.#jobs.get(job)
      if (!known) continue
      this.#count(known, ignore.length - count)
      deliver(ignore)
    }
  }

  // ---- at times -----------------------------------------------------------------------------------------

  #tickIn(ms: number): void {
    this.#nextTick = setTimeout(() => {
      this.#tickIn(this.#open > 0 ? TICK_MS : IDLE_TICK_MS)
      this.#tick(ms)
    }, ms).unref()
  }

  #tick(every: number): void {
    const now = performance.now()
    if (this.#connection.up) {
      const lost = this.#members.lost(now, every)
      if (lost.length > 0 || this.#capacityChanged) this.#tellCapacities()
      for (const node of lost) this.#handle({ type: 'nodeLost', node })
    }
    this.#handle({ type: 'tick' })
    if (this.#waiting.isDue(now)) this.#waiting.look(this.#reason(), now)
    if (this.#connection.up) this.#litter.sweep(now)
  }

  #reason(): string | undefined {
    if (this.#open === 0) return undefined
    const outlook = this.#ledger.outlook()
    const jobs: Parameters<typeof reason>[0]['jobs'] = []
    for (const { needKey, need } of this.#jobs.values()) {
      const state = outlook.get(needKey)
      if (state) jobs.push({ need, ...state })
      outlook.delete(needKey)
    }
    const { pool, link, up: connected } = this.#connection
    const { trouble } = this.#departures
    return reason({ engine: describeLink(link), pool, connected, nodes: this.#members.list(), jobs, trouble })
  }

  #tellCapacities(): void {
    this.#capacityChanged = false
    const told = new Set<string>()
    for (const job of this.#jobs.values()) {
      if (told.has(job.needKey)) continue
      told.add(job.needKey)
      this.#tellCapacity(job)
    }
  }

  #tellCapacity({ need, needKey: key }: RemoteJob): void {
    this.#handle({ type: 'capacity', need: key, ...this.#members.capacity(need) })
  }

  #alive(): void {
    const needs = new Map<string, Need>()
    for (const job of this.#jobs.values()) if (job.needKey !== ANY) needs.set(job.needKey, job.need)
    this.#saidBye = false
    this.#say({ type: 'alive', client: this.#connection.identity, needs: [...needs.values()] })
  }

  #say(message: Parameters<typeof writeMessage>[0]): void {
    const { pool, identity } = this.#connection
    this.#publish(subjects.clients(pool, identity), writeMessage(message))
  }

  /** Asks who is there, and gives those who are a moment to say so. */
  async #roll(): Promise<void> {
    this.#alive()
    this.#publish(subjects.roll(this.#connection.pool), new Uint8Array())
    const begin = performance.now()
    let known = 0
    // All answer at once: when some have, the others are not much later.
    for (let until = ROLL_MS, waited = 0; waited < until; waited = performance.now() - begin) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      const now = this.#members.list().length
      if (now > known) until = Math.min(ROLL_MS, performance.now() - begin + Math.max(OTHERS_MS, 2 * waited))
      known = now
    }
  }

  // ---- the connection -----------------------------------------------------------------------------------

  #status(status: 'connected' | 'disconnected' | 'reconnected'): void {
    if (status === 'disconnected') {
      this.#handle({ type: 'disconnected' })
      this.#waiting.look(this.#reason(), performance.now())
      return
    }
    const server = this.#connection.nc.info?.server_id
    const fresh = server !== this.#server
    this.#server = server
    this.#members.amnesty(performance.now())
    this.#alive()
    this.#publish(subjects.roll(this.#connection.pool), new Uint8Array())
    this.#handle({ type: 'reconnected', fresh })
  }

  /** The server does not take this client any more. */
  #refused(error: Error | undefined): void {
    if (error) this.#end(error)
  }

  // ---- what keeps the program alive ---------------------------------------------------------------------

  /** The program may end when no task is open, although the connection is. */
  #count(job: RemoteJob, change: number): void {
    job.open += change
    this.#open += change
    this.#keepAlive ??= setInterval(() => {}, 2 ** 30)
    if (this.#open > 0) this.#keepAlive.ref()
    else this.#keepAlive.unref()
  }

  #forget(job: RemoteJob): void {
    this.#count(job, -job.open)
    if (!this.#jobs.delete(job.key)) return
    this.#handle({ type: 'forget', job: job.key })
  }

  /** The program has nothing more to do, and ends unless somebody finds something: nodes need not wait for it. */
  #pauseAtExit(): void {
    if (this.#saidBye || this.#closed) return
    if (this.#connection.up) void this.#litter.clear()
    this.#mail.post()
    this.#say({ type: 'bye', client: this.#connection.identity })
    this.#saidBye = true
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms).unref())
  }
}

/** Code of the user may throw (a getter, onProgress): that is for the whole program, and not for the connection. */
function unharmed(act: () => void): void {
  try {
    act()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

/** Something that was stored is not there (any more). */
const isMissing = (error: unknown): boolean => error instanceof BlobError && error.code === 'DICOMP_E_BLOB'
