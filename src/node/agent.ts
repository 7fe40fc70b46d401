/**
 * The agent of one computer: takes chunks from the cluster's queue, has them run by a local engine of process slots,
 * and sends the results. See nats/README.md for what is said on the wire. User code runs in slots, never here.
 */
import { availableParallelism, hostname } from 'node:os'
import type { Msg } from '@nats-io/transport-node'
import { LocalEngine } from '../engine/local.ts'
import { OptionError } from '../errors.ts'
import { request } from '../nats/api.ts'
import { Blobs } from '../nats/blobs.ts'
import { type Connection, openConnection } from '../nats/connection.ts'
import { ensureNeed, layOut, needKey } from '../nats/layout.ts'
import { type Link, parseLink } from '../nats/link.ts'
import {
  type Heartbeat,
  isRelayed,
  type MessageType,
  type Need,
  readMessage,
  type TaskMessage,
  writeMessage,
} from '../nats/messages.ts'
import { meets } from '../nats/need.ts'
import { ALIVE_MS, HEARTBEAT_MS, LONG_CHUNK_TARGET_MS, PROTOCOL, RENEW_MS } from '../nats/settings.ts'
import { ANY, newIdentity, streamOf, subjects } from '../nats/subjects.ts'
import { heapMegabytes } from '../slot/memory.ts'
import { Clients } from './clients.ts'
import { hostFacts } from './host.ts'
import { freeName } from './name.ts'
import { Natives } from './natives.ts'
import { Programs } from './programs.ts'
import { consumerIn, Puller } from './puller.ts'
import { findRuntime, type Runtime } from './runtime.ts'
import { openSandbox, type Sandbox } from './sandbox.ts'
import { Voice } from './voice.ts'
import { Work } from './work.ts'

export interface AgentOptions {
  /** For people; another node of this name makes it `name-2`. @default the host name */
  name?: string
  /** Tasks that run at the same time, from 1. @default the number of cores that this process may use */
  slots?: number
  /** What tasks can ask for with `tags`. @default none */
  tags?: string[]
  /** Memory that one slot may use, bytes. @default its share of 75 % of this computer's, heap only */
  memory?: number
  /** What slots run on: `node`, `bun`, `deno`, or the path of one. @default the Node.js that runs this */
  runtime?: string
  /** What tasks run in; `sandbox` is bubblewrap (Linux), see docs/isolation.md. @default 'process' */
  isolation?: 'process' | 'sandbox'
  /** Native packages that a function needs may be installed from the npm registry. @default false */
  allowNative?: boolean
  /** Longest time that `drain` waits for tasks that run, milliseconds. @default 30000 */
  drainTimeout?: number
  onEvent?: (event: AgentEvent) => void
}

export type AgentEvent =
  | { type: 'joined'; name: string; pool: string; slots: number; host: Heartbeat['host'] }
  /** The server does not answer; it goes on working, and tries to get back. */
  | { type: 'disconnected' }
  | { type: 'reconnected' }
  | { type: 'draining'; running: number }
  | { type: 'left' }
  /** The server does not take it any more; it is over. */
  | { type: 'refused'; error: Error }
  /** A client was silent for too long: what ran for it was stopped. */
  | { type: 'orphaned'; client: string }
  /** A message that no honest client or node sends. */
  | { type: 'dropped'; subject: string; why: string }
  /** Something is wrong, and tried again. */
  | { type: 'trouble'; error: Error }

const DRAIN_MS = 30_000
/** When the time to drain is over, clients get this long to confirm what was handed back. */
const CONFIRM_MS = 2000
/** A chunk that could not begin for this long is handed back when somebody else waits for work. */
const STUCK_MS = 1000
const TIDY_MS = 1000
/** Consumers for a need that no client has announced for this long are not asked any more. */
const NEED_MS = 30 * ALIVE_MS
/** Before the queue is laid out again because something is missing, and between attempts. */
const PAUSE_MS = 250
const AGAIN_MS = 1000

export class Agent {
  /** Unique; made anew with each start. */
  readonly node: string
  readonly name: string
  /** Tasks that run at the same time. */
  readonly slots: number
  readonly pool: string
  /** Resolves when it has left, or was refused by the server (with why). */
  readonly ended: Promise<Error | undefined>
  readonly #connection: Connection
  readonly #options: AgentOptions
  readonly #memory: number
  readonly #runtime: Runtime
  readonly #sandbox: Sandbox | undefined
  readonly #startedAt = Date.now()
  readonly #engine: LocalEngine
  readonly #work: Work
  readonly #puller: Puller
  readonly #voice: Voice
  readonly #clients = new Clients()
  /** Needs that this node meets, and when each was announced last. */
  readonly #needs = new Map<string, number>()
  readonly #timers: NodeJS.Timeout[] = []
  #laying = false
  /** How often the connection was lost. */
  #epoch = 0
  #queueCreated = ''
  #roundTrip = 1
  #state: 'working' | 'draining' | 'left' = 'working'
  #draining: Promise<void> | undefined
  #end: (error: Error | undefined) => void = () => {}

  /**
   * Joins the cluster of a link.
   * @throws LinkError, ConnectError, OptionError
   */
  static async start(link: string | Link, options: AgentOptions = {}): Promise<Agent> {
    const { name = hostname(), tags = [], slots = availableParallelism() } = options
    for (const label of [name, ...tags]) checkLabel(label)
    if (!Number.isInteger(slots) || slots < 1) {
      throw new OptionError(`Expected \`slots\` to be a whole number from 1 up, got ${slots}`)
    }
    const parsed = typeof link === 'string' ? parseLink(link) : link
    const runtime = await findRuntime(options.runtime)
    const identity = newIdentity(parsed.name)
    const connection = await openConnection(parsed, { role: 'node', identity })
    let sandbox: Sandbox | undefined
    try {
      if (options.isolation === 'sandbox') {
        sandbox = await openSandbox(runtime.command ?? process.execPath)
      }
      const [free] = await Promise.all([freeName(connection, name), layOut(connection)])
      const agent = new Agent(connection, { ...options, name: free, slots }, runtime, sandbox)
      await agent.#begin()
      return agent
    } catch (error) {
      sandbox?.close()
      await connection.close()
      throw error
    }
  }

  private constructor(
    connection: Connection,
    options: AgentOptions & { name: string; slots: number },
    runtime: Runtime,
    sandbox: Sandbox | undefined,
  ) {
    const { nc, identity, pool } = connection
    const { name, slots, memory } = options
    this.node = identity
    this.name = name
    this.slots = slots
    this.pool = pool
    this.#connection = connection
    this.#options = options
    this.#runtime = runtime
    this.#sandbox = sandbox
    this.#memory = memory ?? heapMegabytes(undefined, slots) * 2 ** 20
    this.#engine = new LocalEngine({ slots, precutMs: LONG_CHUNK_TARGET_MS })
    this.#voice = new Voice(connection, (client, job, chunk) => this.#work.isUnsaid(client, job, chunk))
    const blobs = new Blobs(connection)
    this.#work = new Work({
      node: identity,
      name,
      engine: this.#engine,
      programs: new Programs(blobs, new Natives(options.allowNative === true), name),
      blobs,
      memory,
      runtime: runtime.command,
      sandbox,
      send: (client, bytes) => this.#voice.tell(client, bytes),
      answer: (ack, verb) => this.#voice.answer(ack, verb),
      held: (client, job, chunk) => this.#voice.held(client, job, chunk),
      room: () => this.#puller.refill(),
    })
    this.#puller = new Puller({
      nc,
      pool,
      identity,
      wanted: () => this.#work.demand(slots, this.#roundTrip).wanted,
      accept: (data, ack, subject) => this.#accept(data, ack, subject),
      refuse: (ack) => this.#voice.answer(ack, '-NAK'),
      missing: (why) => void this.#layOutAgain(new Error(why)),
    })
    this.ended = new Promise((resolve) => (this.#end = resolve))
    void connection.closed.then((error) => error && this.#refused(error))
  }

  async #begin(): Promise<void> {
    const { nc, pool, identity } = this.#connection
    this.#listen(subjects.allOfNode(identity), ['confirm', 'drop', 'dropTasks', 'forget', 'drain'])
    this.#listen(subjects.allClients(pool), ['alive', 'bye'])
    this.#listen(subjects.allDirect(pool, identity), ['task'])
    nc.subscribe(subjects.roll(pool), { callback: () => this.#beat() })
    this.#connection.onStatus((status) => {
      if (status === 'disconnected') this.#disconnected()
      if (status === 'reconnected') void this.#reconnected()
    })
    this.#connection.onError((error) => this.#event({ type: 'trouble', error }))
    this.#queueCreated = await this.#created()
    this.#roundTrip = await nc.rtt()
    this.#engine.warm(this.#work.kind({ isolation: 'process', memory: undefined, env: {} }))
    this.#every(HEARTBEAT_MS, () => this.#beat())
    this.#every(RENEW_MS, () => this.#renew())
    this.#every(TIDY_MS, () => this.#tidy())
    this.#beat()
    this.#puller.add(ANY)
    this.#event({
      type: 'joined',
      name: this.name,
      pool,
      slots: this.slots,
      host: hostFacts(this.#runtime.label),
    })
  }

  /** Tasks that it holds and has no outcome of. */
  get running(): number {
    let open = 0
    for (const chunk of this.#work.chunks.values()) open += chunk.open
    return open
  }

  /** Tasks that have had an outcome here. */
  get done(): number {
    return this.#work.done
  }

  /** Takes nothing new, hands back what has not begun, waits for the rest and its results, and leaves. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain()
    return this.#draining
  }

  /** Leaves at once; what runs is handed to others. */
  async stop(): Promise<void> {
    if (this.#state === 'left') return
    this.#puller.stop()
    this.#voice.flush()
    this.#work.close()
    this.#state = 'left'
    this.#beat()
    await this.#stopped()
    await this.#connection.close()
    this.#event({ type: 'left' })
    this.#end(undefined)
  }

  async #drain(): Promise<void> {
    if (this.#state === 'left') return
    this.#state = 'draining'
    this.#event({ type: 'draining', running: this.running })
    this.#puller.pause()
    this.#work.drain()
    this.#beat()
    const empty = async (ms: number): Promise<boolean> => {
      for (const end = performance.now() + ms; this.#work.chunks.size > 0; ) {
        if (performance.now() > end || this.#connection.nc.isClosed()) return false
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      return true
    }
    if (!(await empty(this.#options.drainTimeout ?? DRAIN_MS))) {
      this.#work.handBackAll()
      await empty(CONFIRM_MS)
    }
    await this.stop()
  }

  async #refused(error: Error): Promise<void> {
    if (this.#state === 'left') return
    this.#state = 'left'
    this.#event({ type: 'refused', error })
    await this.#stopped()
    this.#end(error)
  }

  async #stopped(): Promise<void> {
    this.#voice.close()
    this.#puller.stop()
    this.#work.close()
    for (const timer of this.#timers) clearInterval(timer)
    await this.#engine.close()
    this.#sandbox?.close()
  }

  // ---- messages -----------------------------------------------------------------------------------------

  #accept(data: Uint8Array, ack: string, subject: string): void {
    const message = readMessage(data, ['task'])
    if (!message) {
      this.#voice.answer(ack, '+TERM')
      return this.#event({ type: 'dropped', subject, why: 'it is no chunk of tasks' })
    }
    if (!subject.endsWith(`.${message.client}`)) {
      this.#voice.answer(ack, '+TERM')
      return this.#event({ type: 'dropped', subject, why: 'it names another client than its subject' })
    }
    if (this.#clients.isGone(message.client)) return this.#voice.answer(ack, '+TERM')
    if (!message.spec) {
      this.#voice.answer(ack, '+TERM')
      return this.#event({ type: 'dropped', subject, why: 'it does not describe its job' })
    }
    this.#clients.met(message.client)
    this.#work.accept(message, ack)
  }

  /** A client believes that there is room for it. */
  #acceptDirect(message: TaskMessage): void {
    const { client, job, chunk, spec, got = [] } = message
    for (const each of got) this.#work.confirm(client, ...each)
    if (this.#clients.isGone(client)) return
    const knowsJob = spec !== undefined || this.#work.knows(client, job)
    const hasRoom = this.#state === 'working' && this.#work.demand(this.slots, this.#roundTrip).room
    if (!knowsJob || !hasRoom) {
      const full = writeMessage({ type: 'full', node: this.node, chunks: [[job, chunk]] })
      return this.#voice.publish(subjects.client(client), full)
    }
    this.#clients.met(client)
    this.#work.accept(message, undefined)
  }

  /** @param subject with `>` at its end */
  #listen(subject: string, kinds: readonly MessageType[]): void {
    const callback = (_: Error | null, received: Msg): void => {
      const { data, subject: to } = received
      // What the server took from the queue to here is not what the sender was allowed to say here.
      const isOurs = to?.startsWith(subject.slice(0, -1)) && !isRelayed(received)
      const message = isOurs && readMessage(data, kinds)
      if (!message) return this.#event({ type: 'dropped', subject: to ?? subject, why: 'it cannot be read' })
      try {
        this.#handle(message, to)
      } catch (error) {
        this.#event({ type: 'trouble', error: error as Error })
      }
    }
    this.#connection.nc.subscribe(subject, { callback })
  }

  #handle(message: NonNullable<ReturnType<typeof readMessage<MessageType>>>, subject: string): void {
    // The server lets a client publish only under its own name.
    if ('client' in message && !subject.endsWith(`.${message.client}`))
      return this.#event({ type: 'dropped', subject, why: 'it names another client than its subject' })
    switch (message.type) {
      case 'task':
        return this.#acceptDirect(message)
      case 'confirm':
        for (const [job, chunk, seq] of message.got) this.#work.confirm(message.client, job, chunk, seq)
        return
      case 'drop':
        for (const [job, chunk] of message.chunks) this.#work.drop(message.client, job, chunk)
        return
      case 'dropTasks': {
        const { client, job, chunk, start, end } = message
        return this.#work.dropTasks(client, job, chunk, start, end)
      }
      case 'forget':
        return this.#work.forget(message.client, message.job)
      case 'drain':
        return void this.drain()
      case 'alive': {
        this.#clients.heard(message.client)
        for (const need of message.needs) this.#learn(need)
        return
      }
      case 'bye': {
        this.#clients.left(message.client)
        return this.#work.endClient(message.client)
      }
    }
  }

  #learn(need: Need): void {
    const key = needKey(need)
    if (key === ANY || !meets(need, { tags: this.#options.tags ?? [], memory: this.#memory })) return
    const known = this.#needs.has(key)
    this.#needs.set(key, performance.now())
    if (known) return
    ensureNeed(this.#connection, need).then(
      () => this.#puller.add(key),
      (error) => {
        this.#needs.delete(key)
        this.#event({ type: 'trouble', error })
      },
    )
  }

  // ---- at times -----------------------------------------------------------------------------------------

  #beat(): void {
    const heartbeat: Heartbeat = {
      type: 'heartbeat',
      node: this.node,
      name: this.name,
      startedAt: this.#startedAt,
      state: this.#state,
      slots: this.slots,
      free: this.#work.demand(this.slots, this.#roundTrip).free,
      tags: this.#options.tags ?? [],
      memory: this.#memory,
      host: hostFacts(this.#runtime.label),
      protocol: PROTOCOL,
      held: Array.from(this.#work.chunks.values(), ({ client, job, id }) => [client, job, id]),
    }
    this.#voice.publish(subjects.heartbeat(this.pool, this.node), writeMessage(heartbeat))
  }

  #renew(): void {
    for (const { ack } of this.#work.chunks.values()) if (ack !== undefined) this.#voice.answer(ack, '+WPI')
  }

  #tidy(): void {
    if (this.#connection.up) {
      for (const client of this.#clients.orphaned()) {
        this.#work.endClient(client)
        this.#event({ type: 'orphaned', client })
      }
    }
    this.#work.tidy()
    const old = performance.now() - NEED_MS
    for (const [key, announced] of this.#needs) {
      if (announced > old) continue
      this.#needs.delete(key)
      this.#puller.remove(key)
    }
    void this.#shareOut()
  }

  /** What cannot begin here goes to others, when others wait. */
  async #shareOut(): Promise<void> {
    const stuck = this.#work.stuck(performance.now() - STUCK_MS)
    const consumers = new Set(stuck.map(({ ack }) => consumerIn(ack as string)))
    for (const consumer of consumers) {
      try {
        const path = `CONSUMER.INFO.${streamOf(this.pool)}.${consumer}`
        const { num_waiting: waiting } = await request<{ num_waiting: number }>(this.#connection, path)
        if (waiting <= (this.#puller.isParked(consumer) ? 1 : 0)) continue
      } catch {
        // Nobody knows; then it stays here.
        continue
      }
      for (const chunk of stuck) {
        if (chunk.begun === 0 && chunk.ack !== undefined && consumerIn(chunk.ack) === consumer)
          this.#work.handBack(chunk)
      }
    }
  }

  // ---- the connection -----------------------------------------------------------------------------------

  #disconnected(): void {
    this.#voice.disconnected()
    this.#epoch++
    this.#puller.pause()
    this.#event({ type: 'disconnected' })
  }

  async #reconnected(): Promise<void> {
    this.#clients.amnesty()
    this.#event({ type: 'reconnected' })
    this.#beat()
    this.#work.reconnected()
    await this.#layOutAgain(undefined)
  }

  /** Until it is done, or the connection is lost again. */
  async #layOutAgain(trouble: Error | undefined): Promise<void> {
    if (this.#laying) return
    this.#laying = true
    this.#puller.pause()
    if (trouble) {
      // Whatever it is, it may last. A server that is ended says so here too, and then the connection tells it.
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      if (this.#connection.up) this.#event({ type: 'trouble', error: trouble })
    }
    while (this.#connection.up && this.#state !== 'left') {
      const epoch = this.#epoch
      try {
        await layOut(this.#connection)
        const created = await this.#created()
        if (created !== this.#queueCreated) this.#work.queueLost()
        this.#queueCreated = created
        this.#roundTrip = await this.#connection.nc.rtt()
        if (epoch === this.#epoch) break
      } catch (error) {
        this.#event({ type: 'trouble', error: error as Error })
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
      }
    }
    this.#laying = false
    if (!this.#connection.up) return
    this.#voice.synced = true
    // Their consumers may be gone; clients announce again what they still need.
    for (const need of this.#needs.keys()) this.#puller.remove(need)
    this.#needs.clear()
    if (this.#state === 'working') this.#puller.resume()
  }

  /** When the queue was made: it is another one when the server has lost its memory. */
  async #created(): Promise<string> {
    return (await request<{ created: string }>(this.#connection, `STREAM.INFO.${streamOf(this.pool)}`))
      .created
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms))
  }

  #event(event: AgentEvent): void {
    this.#options.onEvent?.(event)
  }
}

/** It travels in messages and is shown to people. */
function checkLabel(label: string): void {
  if (label.length > 0 && label.length <= 64 && !/[\p{Cc}\p{Cf}\s,]/u.test(label)) return
  throw new OptionError(
    `A name or tag of a node may have up to 64 characters without spaces and commas, got ${JSON.stringify(label)}`,
  )
}
