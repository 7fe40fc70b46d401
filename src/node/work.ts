/**
 * What a node has to do: the chunks that it holds, and the local engine that runs their tasks. One job of a client
 * is one job of the engine, so that what it learns of the tasks (how long they take, which ones kill slots) serves
 * all chunks.
 */
import { type Encoded, toFrame } from '../codec/index.ts'
import type { Arguments, JobClient, TaskSpec } from '../engine/engine.ts'
import type { LocalEngine, LocalJob } from '../engine/local.ts'
import { LoadError } from '../errors.ts'
import type { Blobs } from '../nats/blobs.ts'
import {
  type Bytes,
  type RemoteSpec,
  readPayload,
  readSpec,
  type TaskMessage,
  writeMessage,
} from '../nats/messages.ts'
import { INLINE_BYTES } from '../nats/settings.ts'
import { slicePayload } from '../slot/payload.ts'
import type { Delivery, Payload, SlotKind } from '../slot/protocol.ts'
import { Chunk, keyOf, type Loss } from './chunk.ts'
import { type Demand, demandOf } from './demand.ts'
import { Finished } from './finished.ts'
import { Outbox } from './outbox.ts'
import type { Programs } from './programs.ts'
import type { Sandbox } from './sandbox.ts'

/** A job without chunks is forgotten after this long, milliseconds: the next chunk has to describe it again. */
const IDLE_JOB_MS = 60_000
/** Weight of the newest tasks in what is known of a job's pace. */
const NEWEST = 0.5

export interface WorkOptions {
  /** Unique id, and name for people. */
  node: string
  name: string
  engine: LocalEngine
  programs: Programs
  blobs: Pick<Blobs, 'shareFrame' | 'put'>
  /** Limit of slots for jobs that name none, bytes. */
  memory: number | undefined
  /** Command of the runtime of slots, when it is not our own. */
  runtime?: string | undefined
  /** Around slots. */
  sandbox?: Sandbox | undefined
  send(client: string, bytes: Uint8Array): void
  /** Tells JetStream about a chunk. */
  answer(ack: string, verb: '+ACK' | '+TERM' | '-NAK'): void
  /** A chunk has begun to be held: to be said soon, at the latest when `client` is told something about it. */
  held(client: string, job: number, chunk: number): void
  /** There may be room for more chunks. */
  room(): void
}

interface Job {
  key: string
  spec: RemoteSpec
  engine: LocalJob
  chunks: Set<Chunk>
  /** Milliseconds per task, once known. */
  pace: number | undefined
  usedAt: number
}

export class Work {
  readonly #options: WorkOptions
  readonly #chunks = new Map<string, Chunk>()
  readonly #jobs = new Map<string, Job>()
  /** Jobs whose code is being fetched. */
  readonly #loading = new Map<string, Promise<Job>>()
  readonly #finished = new Finished()
  readonly #outbox: Outbox
  #draining = false
  /** Tasks that have had an outcome. */
  done = 0

  constructor(options: WorkOptions) {
    this.#options = options
    const { node, name, blobs, send } = options
    this.#outbox = new Outbox({ node, name, blobs, send, delivered: (chunk) => this.#end(chunk, '+ACK') })
  }

  /** Chunks held, with those of which only confirmations are missing. */
  get chunks(): ReadonlyMap<string, Chunk> {
    return this.#chunks
  }

  /**
   * Takes a chunk. Its parts were checked by `readMessage`.
   * @param ack of the queue that it was pulled from
   */
  accept(message: TaskMessage, ack: string | undefined): void {
    const { client, job, chunk: id } = message
    const { answer, held } = this.#options
    const known = this.#chunks.get(keyOf(client, job, id))
    if (known) {
      // Delivered again, or published again: the first one runs.
      if (ack !== undefined) {
        if (known.ack === undefined || sameMessage(known.ack, ack)) known.ack = ack
        else answer(ack, '+TERM')
      }
      return held(client, job, id)
    }
    if (this.#finished.has(client, job, id)) {
      if (ack !== undefined) answer(ack, '+TERM')
      return
    }
    const chunk = new Chunk(message, ack, performance.now())
    this.#chunks.set(chunk.key, chunk)
    // Who has sent it here takes it to be here.
    if (ack !== undefined) held(client, job, id)
    const ready = this.#jobs.get(jobKey(client, job))
    const { payload } = message
    if (!ready || 'blob' in payload) void this.#prepare(chunk, message)
    else this.#begin(chunk, ready, payload.inline)
  }

  /** Whether the client cannot know from a report that the chunk is held. */
  isUnsaid(client: string, job: number, chunk: number): boolean {
    return this.#chunks.get(keyOf(client, job, chunk))?.seq === 0
  }

  /** Whether chunks of the job need not describe it. */
  knows(client: string, job: number): boolean {
    const key = jobKey(client, job)
    return this.#jobs.has(key) || this.#loading.has(key)
  }

  /** What the node could take now. */
  demand(slots: number, roundTripMs: number): Demand {
    const loads = []
    let loading = 0
    for (const chunk of this.#chunks.values()) if (chunk.state === 'loading') loading += chunk.open
    for (const job of this.#jobs.values()) {
      if (job.chunks.size === 0) continue
      let open = 0
      let chunks = 0
      for (const chunk of job.chunks) {
        if (chunk.state !== 'queued' && chunk.state !== 'blocked') continue
        open += chunk.open
        chunks++
      }
      if (chunks > 0) loads.push({ open, chunks, pace: job.pace, concurrency: job.spec.concurrency })
    }
    const demand = demandOf(loads, loading, slots, roundTripMs)
    return this.#draining ? { ...demand, wanted: 0, room: false } : demand
  }

  // ---- what clients say ---------------------------------------------------------------------------------

  confirm(client: string, job: number, chunk: number, seq: number): void {
    this.#outbox.confirm(client, job, chunk, seq)
  }

  /** Nobody wants this chunk from this node. */
  drop(client: string, job: number, id: number): void {
    const chunk = this.#chunks.get(keyOf(client, job, id))
    if (!chunk) return
    this.#take(chunk, chunk.start, chunk.end)
    this.#end(chunk, '+TERM')
  }

  /** Nobody wants these tasks of a chunk. */
  dropTasks(client: string, job: number, id: number, start: number, end: number): void {
    const chunk = this.#chunks.get(keyOf(client, job, id))
    if (chunk && chunk.state !== 'over') this.#giveBack(chunk, start, end)
  }

  /** The job is over. */
  forget(client: string, id: number): void {
    const job = this.#jobs.get(jobKey(client, id))
    for (const chunk of this.#chunks.values()) {
      if (chunk.client === client && chunk.job === id) this.drop(client, id, chunk.id)
    }
    if (job) this.#forget(job)
  }

  /** The client is gone: what it wanted is stopped. */
  endClient(client: string): void {
    for (const chunk of this.#chunks.values()) {
      if (chunk.client === client) this.drop(client, chunk.job, chunk.id)
    }
    for (const job of this.#jobs.values()) {
      if (job.key.startsWith(`${client} `)) this.#forget(job)
    }
  }

  // ---- what the connection says -------------------------------------------------------------------------

  /** The connection is new. */
  reconnected(): void {
    this.#outbox.resend()
  }

  /** The server has lost the queue from which the chunks came, and may give their places to others. */
  queueLost(): void {
    for (const chunk of this.#chunks.values()) chunk.ack = undefined
  }

  // ---- handing back -------------------------------------------------------------------------------------

  /** Chunks of which no task could begin since `time`. */
  stuck(time: number): Chunk[] {
    const found: Chunk[] = []
    for (const chunk of this.#chunks.values()) {
      if (chunk.state === 'queued' && chunk.begun === 0 && chunk.since < time && chunk.ack) found.push(chunk)
    }
    return found
  }

  /** Hands back the tasks of a chunk that were not sent to a slot. */
  handBack(chunk: Chunk): void {
    if (chunk.state !== 'over') this.#giveBack(chunk, chunk.start + chunk.begun, chunk.end)
  }

  /** Takes nothing new, and hands back what has not begun. */
  drain(): void {
    this.#draining = true
    for (const chunk of [...this.#chunks.values()]) this.handBack(chunk)
  }

  /** Hands back everything, begun or not. */
  handBackAll(): void {
    for (const chunk of [...this.#chunks.values()]) {
      if (chunk.state !== 'over') this.#giveBack(chunk, chunk.start, chunk.end)
    }
  }

  /** Gives what is left to JetStream: somebody else may have it at once. */
  close(): void {
    for (const chunk of this.#chunks.values()) {
      if (chunk.ack !== undefined) this.#options.answer(chunk.ack, '-NAK')
    }
    this.#chunks.clear()
    this.#outbox.close()
  }

  /** Forgets jobs that have not been used for long; to be called now and then. */
  tidy(): void {
    const old = performance.now() - IDLE_JOB_MS
    for (const { client, job, state } of this.#chunks.values()) {
      const known = this.#jobs.get(jobKey(client, job))
      if (state === 'loading' && known) known.usedAt = performance.now()
    }
    for (const job of this.#jobs.values()) if (job.chunks.size === 0 && job.usedAt < old) this.#forget(job)
  }

  // ---- from the message to the engine -------------------------------------------------------------------

  async #prepare(chunk: Chunk, message: TaskMessage): Promise<void> {
    try {
      const [job, payload] = await Promise.all([this.#load(message), this.#fetch(message.payload)])
      if (chunk.state === 'loading') this.#begin(chunk, job, payload)
    } catch (error) {
      if (chunk.state === 'loading') this.#fail(chunk, error as Error)
    }
  }

  #begin(chunk: Chunk, job: Job, frame: Uint8Array | Encoded): void {
    try {
      // Some of them may have been dropped meanwhile; their arguments are there all the same.
      chunk.payload = checkedPayload(readPayload(frame), chunk.end - chunk.start)
    } catch (error) {
      return this.#fail(chunk, error as Error)
    }
    job.chunks.add(chunk)
    this.#queue(chunk, job)
  }

  /** A task is here once at most: a chunk that repeats what runs already waits until that is confirmed. */
  #queue(chunk: Chunk, job: Job): void {
    for (const other of job.chunks) {
      if (other === chunk) break
      if (!overlap(other, chunk)) continue
      chunk.state = 'blocked'
      return
    }
    chunk.state = 'queued'
    for (const [start, end] of chunk.openRanges()) job.engine.add(start, end, chunk.attempt, chunk)
  }

  #unblock(job: Job): void {
    for (const chunk of job.chunks) if (chunk.state === 'blocked') this.#queue(chunk, job)
  }

  /** No task of the chunk can run here. */
  #fail(chunk: Chunk, error: Error): void {
    for (const [start, end] of [...chunk.openRanges()]) {
      chunk.settle(start, end)
      chunk.outcomes.push({ start, count: end - start, error, attempt: undefined })
    }
    this.#over(chunk)
  }

  async #fetch(payload: Bytes): Promise<Uint8Array | Encoded> {
    return 'inline' in payload ? payload.inline : this.#options.blobs.shareFrame(payload.blob)
  }

  #load(message: TaskMessage): Promise<Job> {
    const key = jobKey(message.client, message.job)
    const ready = this.#jobs.get(key)
    if (ready) return Promise.resolve(ready)
    let loading = this.#loading.get(key)
    if (!loading) {
      loading = this.#open(key, message).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    return loading
  }

  async #open(key: string, message: TaskMessage): Promise<Job> {
    const { client } = message
    // Who lets it out was told that the job is known, and it was when the chunk came.
    const spec = readSpec(message.spec ?? new Uint8Array())
    const program = await this.#options.programs.get(client, spec.program)
    const task: TaskSpec = { ...spec, program, pool: this.kind(spec.pool) }
    const job: Job = {
      key,
      spec,
      engine: this.#options.engine.submit(task, this.#jobClient(key, client)),
      chunks: new Set(),
      pace: undefined,
      usedAt: performance.now(),
    }
    this.#jobs.set(key, job)
    return job
  }

  /** The slots of this node that do for such ones. */
  kind({ memory = this.#options.memory, env }: SlotKind): SlotKind {
    const { runtime, sandbox } = this.#options
    const kind: SlotKind = { isolation: 'process', memory, env: { ...env, ...sandbox?.env } }
    if (runtime !== undefined) kind.runtime = runtime
    if (sandbox) kind.wrapper = sandbox.wrapper
    return kind
  }

  // ---- what the engine says -----------------------------------------------------------------------------

  #jobClient(key: string, client: string): JobClient {
    const chunkOf = (index: number): Chunk | undefined => {
      for (const chunk of this.#jobs.get(key)?.chunks ?? []) {
        if (chunk.state === 'queued' && chunk.isOpen(index)) return chunk
      }
      return undefined
    }
    return {
      arguments: (start, count) => argumentsOf(chunkOf(start), start, count),
      delivered: (delivery) => this.#delivered(key, delivery),
      lost: (start, count, error, attempt) => {
        const chunk = chunkOf(start)
        if (chunk && count !== Infinity) this.#lost(chunk, { start, count, error, attempt })
      },
      retries: () => false,
      log: (index, stream, text) => {
        const chunk = chunkOf(index)
        if (!chunk) return
        const { node } = this.#options
        const at = { node, job: chunk.job, chunk: chunk.id, index }
        this.#options.send(client, writeMessage({ type: 'log', ...at, stream, text }))
      },
      progressed: (index, value) => this.#progressed(client, chunkOf(index), index, value),
    }
  }

  #progressed(client: string, chunk: Chunk | undefined, index: number, value: Encoded): void {
    if (!chunk) return
    const { node } = this.#options
    const at = { node, job: chunk.job, chunk: chunk.id, index }
    const frame = toFrame(value)
    if (frame.length <= INLINE_BYTES) {
      return this.#options.send(client, writeMessage({ type: 'progress', ...at, value: frame }))
    }
    const text = `A value for task.progress() is too large to be sent (${frame.length} bytes)\n`
    this.#options.send(client, writeMessage({ type: 'log', ...at, stream: 'stderr', text }))
  }

  #delivered(key: string, delivery: Delivery): void {
    const { start, count, ms = 0 } = delivery
    const job = this.#jobs.get(key)
    if (!job) return
    const pace = ms / count
    job.pace = job.pace === undefined ? pace : NEWEST * pace + (1 - NEWEST) * job.pace
    for (const chunk of job.chunks) {
      if (chunk.state !== 'queued' || start < chunk.start || start + count > chunk.end) continue
      const settled = chunk.settle(start, start + count)
      if (settled === 0) continue
      this.done += settled
      chunk.outcomes.push(delivery)
      return this.#settled(chunk)
    }
  }

  #lost(chunk: Chunk, loss: Loss): void {
    this.done += chunk.settle(loss.start, loss.start + loss.count)
    chunk.outcomes.push(loss)
    this.#settled(chunk)
  }

  #settled(chunk: Chunk): void {
    if (chunk.open === 0) return this.#over(chunk)
    this.#outbox.notify(chunk)
    const job = this.#jobs.get(jobKey(chunk.client, chunk.job))
    if (job) this.#unblock(job)
    this.#options.room()
  }

  // ---- how chunks end -----------------------------------------------------------------------------------

  #giveBack(chunk: Chunk, start: number, end: number): void {
    this.#take(chunk, start, end)
    if (chunk.open === 0) this.#over(chunk)
  }

  /** Takes tasks out of the engine's hands. */
  #take(chunk: Chunk, start: number, end: number): void {
    const job = this.#jobs.get(jobKey(chunk.client, chunk.job))
    for (const [from, to] of [...chunk.openRanges(start, end)]) {
      chunk.settle(from, to)
      if (chunk.state === 'queued') job?.engine.drop(from, to)
    }
  }

  /** Nothing more comes of it. */
  #over(chunk: Chunk): void {
    chunk.state = 'over'
    chunk.payload = undefined
    this.#outbox.notify(chunk)
    this.#options.room()
  }

  /** Nobody has to hear of it any more. */
  #end(chunk: Chunk, verb: '+ACK' | '+TERM'): void {
    const job = this.#jobs.get(jobKey(chunk.client, chunk.job))
    const wasOver = chunk.state === 'over'
    chunk.state = 'over'
    chunk.payload = undefined
    this.#outbox.forget(chunk)
    this.#chunks.delete(chunk.key)
    if (chunk.ack !== undefined) this.#options.answer(chunk.ack, verb)
    // What was dropped may be wanted again, under the same number; what is confirmed may not.
    if (verb === '+ACK') this.#finished.add(chunk.client, chunk.job, chunk.id)
    if (job) {
      job.usedAt = performance.now()
      job.chunks.delete(chunk)
      this.#unblock(job)
    }
    if (!wasOver) this.#options.room()
  }

  #forget(job: Job): void {
    this.#jobs.delete(job.key)
    job.engine.cancel()
  }
}

const jobKey = (client: string, job: number): string => `${client} ${job}`

function argumentsOf(chunk: Chunk | undefined, start: number, count: number): Arguments {
  // Dropped while it ran beside others, and now tried again with them because their slot died.
  if (!chunk) {
    const skip = Array.from({ length: count }, (_, offset) => offset)
    return { payload: { kind: 'f64', values: new Array<number>(count).fill(0) }, skip, owned: false }
  }
  const from = start - chunk.start
  chunk.begun = Math.max(chunk.begun, from + count)
  const skip = chunk.skip.filter((at) => at >= from && at < from + count).map((at) => at - from)
  return { payload: slicePayload(chunk.payload as Payload, from, count), skip, owned: false }
}

/** Whether a task of `later` is open in `earlier`, or its result not confirmed. */
function overlap(earlier: Chunk, later: Chunk): boolean {
  const start = Math.max(earlier.start, later.start)
  const end = Math.min(earlier.end, later.end)
  if (start >= end) return false
  for (const _ of earlier.openRanges(start, end)) return true
  const untold = earlier.outcomes.length > 0 || earlier.unconfirmed > 0
  // Another attempt is asked for by somebody who knows the outcome of this one.
  return untold && earlier.attempt === later.attempt
}

/** @throws LoadError when it has not an element for each task */
function checkedPayload(payload: Payload, count: number): Payload {
  const elements = payload.kind === 'f64' ? payload.values.length : payload.lists.length
  if (elements === count) return payload
  throw new LoadError(`The chunk has ${elements} arguments for ${count} tasks`)
}

/** Whether two acknowledgement subjects are of one message of the queue, delivered twice. */
function sameMessage(a: string, b: string): boolean {
  return placeOf(a) === placeOf(b)
}

/** `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<place>.…`: stream and place. */
function placeOf(ack: string): string {
  const tokens = ack.split('.')
  const at = tokens.length > 9 ? 4 : 2
  return `${tokens[at]} ${tokens[at + 3]}`
}
