/**
 * The embedded engine: slots of this computer, in this process. It does what the scheduler decides and decides
 * nothing itself.
 */
import { Scheduler } from '../core/scheduler.ts'
import type { Action, Chunk, Event, Settings } from '../core/state.ts'
import { ClosedError, TaskTimeoutError } from '../errors.ts'
import { AWAKE_MS, Awake } from '../slot/awake.ts'
import { endGuard } from '../slot/guard.ts'
import { spawnProcess } from '../slot/process.ts'
import type { DoneMessage, FromSlot, SlotKind } from '../slot/protocol.ts'
import type { Exit, Slot, SlotEvents } from '../slot/slot.ts'
import { spawnThread } from '../slot/thread.ts'
import { givenBuffers, movableBuffers, payloadBytes } from '../slot/wire.ts'
import type { Engine, EngineJob, JobClient, TaskSpec } from './engine.ts'
import { lossError } from './loss.ts'
import { NestedJobs } from './nested.ts'
import { ProgramUse } from './program-use.ts'

/** How often slots that idle are looked for, milliseconds. */
const TICK_MS = 10_000

interface RunningJob {
  key: number
  spec: TaskSpec
  client: JobClient
  /** Tasks that were added and have neither been delivered nor lost. */
  open: number
}

interface LiveSlot {
  slot: Slot
  /** Programs that it has. */
  programs: Set<number>
  nested: NestedJobs
}

export interface LocalJob extends EngineJob {
  /** @param cut who has cut the work: no report has results of these tasks and of others. `tail`: little comes after them */
  add(start: number, end: number, attempt: number, cut?: { tail: boolean }): void
}

export class LocalEngine implements Engine {
  readonly slots: number
  readonly #scheduler: Scheduler
  readonly #jobs = new Map<number, RunningJob>()
  readonly #slots = new Map<number, LiveSlot>()
  readonly #chunks = new Map<number, Chunk>()
  readonly #timers = new Map<number, NodeJS.Timeout>()
  readonly #programs = new ProgramUse()
  readonly #kinds = new Map<string, SlotKind>()
  /** Why each slot died, until its tasks are settled. */
  readonly #exits = new Map<number, Exit & { label: string }>()
  readonly #exiting = new Set<Promise<void>>()
  readonly #awake = new Awake()
  readonly #later = new Set<NodeJS.Timeout>()
  /** Chunks that were told to stop and have not ended yet: what they print still belongs to their job. */
  readonly #ending = new Map<number, Chunk>()
  #keepAlive: NodeJS.Timeout | undefined
  #open = 0
  #nextJob = 1
  #closed = false

  constructor(settings: Settings) {
    this.slots = settings.slots
    this.#scheduler = new Scheduler(settings)
  }

  warm(kind: SlotKind): void {
    if (this.#slots.size === 0 && !this.#closed) this.#handle({ type: 'warm', pool: this.#pool(kind) })
  }

  submit(spec: TaskSpec, client: JobClient): LocalJob {
    if (this.#closed) throw new ClosedError()
    const key = this.#nextJob++
    const pool = this.#pool(spec.pool)
    const job: RunningJob = { key, spec, client, open: 0 }
    this.#jobs.set(key, job)
    this.#programs.begin(spec.program.id)
    const { priority, cap, solo, concurrency, crashes } = spec
    this.#handle({ type: 'job', spec: { id: key, pool, priority, cap, solo, concurrency, crashes } })
    return {
      add: (start, end, attempt, cut) => {
        if (this.#closed) return client.lost(start, end - start, new ClosedError())
        this.#count(job, end - start)
        this.#handle({
          type: 'tasks',
          job: key,
          start,
          end,
          attempt,
          apart: cut !== undefined,
          tail: cut?.tail,
        })
      },
      drop: (start, end) => {
        if (!this.#jobs.has(key)) return
        this.#count(job, start - end)
        this.#handle({ type: 'drop', job: key, start, end })
      },
      cancel: () => {
        this.#drop(job)
        this.#handle({ type: 'cancel', job: key })
        this.#handle({ type: 'forget', job: key })
      },
      forget: () => {
        this.#drop(job)
        this.#handle({ type: 'forget', job: key })
      },
      snapshot: () => this.#scheduler.snapshot(key),
    }
  }

  /** Resolves when nothing is left: no thread, no process, no timer. */
  async close(): Promise<void> {
    this.#closed = true
    for (const job of [...this.#jobs.values()]) {
      this.#drop(job)
      // First, so that the slots that die do not leave it anything to try again.
      this.#handle({ type: 'cancel', job: job.key })
      this.#handle({ type: 'forget', job: job.key })
      job.client.lost(0, Infinity, new ClosedError())
    }
    for (const { slot } of this.#slots.values()) slot.kill()
    for (const timer of [...this.#timers.values(), ...this.#later]) clearTimeout(timer)
    this.#timers.clear()
    this.#later.clear()
    // Slots do not keep the program alive, but whoever awaits this must see it end.
    const alive = setInterval(() => {}, 1000)
    await Promise.all(this.#exiting)
    await endGuard()
    clearInterval(alive)
    clearInterval(this.#keepAlive)
  }

  #pool(kind: SlotKind): string {
    const key = poolKey(kind)
    this.#kinds.set(key, kind)
    return key
  }

  // ---- scheduler --------------------------------------------------------------------------------------

  #handle(event: Event): void {
    for (const action of this.#scheduler.handle(event, performance.now())) this.#act(action)
  }

  #act(action: Action): void {
    switch (action.type) {
      case 'start':
        // What is lost to closing leaves room for slots that nobody needs any more.
        if (!this.#closed) this.#start(action.slot, action.pool)
        return
      case 'send':
        return this.#send(action.chunk)
      case 'abort':
        this.#chunks.delete(action.chunk.id)
        this.#ending.set(action.chunk.id, action.chunk)
        this.#endTimer(action.chunk.id)
        return this.#toSlot(action.chunk.slot.id, {
          type: 'abort',
          chunk: action.chunk.id,
          reason: 'The task was cancelled',
        })
      case 'giveBack':
        return this.#toSlot(action.chunk.slot.id, { type: 'giveBack', chunk: action.chunk.id })
      case 'kill':
        return this.#slots.get(action.slot)?.slot.kill()
      case 'stop':
        return this.#slots.get(action.slot)?.slot.close()
      case 'lost':
        return this.#lost(action)
      case 'later': {
        const timer = setTimeout(() => {
          this.#later.delete(timer)
          this.#handle(action.event)
        }, action.ms).unref()
        this.#later.add(timer)
      }
    }
  }

  #send(chunk: Chunk): void {
    const job = this.#jobs.get(chunk.job.spec.id)
    const live = this.#slots.get(chunk.slot.id)
    if (!job || !live) return
    const { spec } = job
    if (!live.programs.has(spec.program.id)) {
      live.programs.add(spec.program.id)
      live.slot.send({ type: 'load', program: spec.program }, [])
    }
    const { payload, skip, owned } = job.client.arguments(chunk.start, chunk.count, false)
    this.#chunks.set(chunk.id, chunk)
    live.slot.send(
      {
        type: 'run',
        chunk: chunk.id,
        program: spec.program.id,
        start: chunk.start,
        count: chunk.count,
        spread: spec.spread,
        attempt: chunk.attempt,
        job: spec.id,
        timed: spec.timeout !== undefined,
        alone: chunk.alone,
        skip,
        payload,
      },
      owned ? movableBuffers(payload) : givenBuffers(payload),
    )
    const { msPerTask } = chunk.job.pace
    if (chunk.alone && msPerTask !== undefined && msPerTask < AWAKE_MS) this.#awake.stay()
  }

  #lost(action: Extract<Action, { type: 'lost' }>): void {
    const job = this.#jobs.get(action.job)
    if (!job) return
    this.#count(job, -action.count)
    const exit = this.#exits.get(action.slot)
    job.client.lost(action.start, action.count, lossError(action, job.spec, exit))
  }

  // ---- slots ------------------------------------------------------------------------------------------

  #start(id: number, pool: string): void {
    const kind = this.#kinds.get(pool) as SlotKind
    const spawn = kind.isolation === 'thread' ? spawnThread : spawnProcess
    let gone = (): void => {}
    const exiting = new Promise<void>((resolve) => (gone = resolve))
    this.#exiting.add(exiting)
    const events: SlotEvents = {
      message: (message) => this.#receive(id, message),
      exited: (exit) => {
        this.#slots.get(id)?.nested.end()
        this.#slots.delete(id)
        this.#exits.set(id, { ...exit, label: slot.label })
        this.#handle({ type: 'died', slot: id, memory: exit.memory })
        this.#exits.delete(id)
        for (const [key, chunk] of this.#ending) if (chunk.slot.id === id) this.#ending.delete(key)
        this.#exiting.delete(exiting)
        gone()
      },
    }
    let slot: Slot
    try {
      slot = spawn(id, kind, this.slots, events)
    } catch (cause) {
      // Node.js refuses at once (--permission without --allow-worker): a slot that dies before it begins.
      slot = { label: kind.isolation, send() {}, kill() {}, close() {} }
      setImmediate(() => events.exited({ memory: false, stderrTail: '', cause }))
    }
    this.#slots.set(id, { slot, programs: new Set(), nested: new NestedJobs(this, slot, kind) })
    this.#timers.get(-1) ??
      this.#timers.set(-1, setInterval(() => this.#handle({ type: 'tick' }), TICK_MS).unref())
  }

  #toSlot(id: number, message: Parameters<Slot['send']>[0]): void {
    this.#slots.get(id)?.slot.send(message, [])
  }

  #receive(slot: number, message: FromSlot): void {
    switch (message.type) {
      case 'ready':
        return this.#handle({ type: 'ready', slot })
      case 'done':
        return this.#done(slot, message)
      case 'begun':
        return this.#limit(message.chunk)
      case 'waiting':
        return this.#handle({ type: 'waiting', chunk: message.chunk, yes: message.yes })
      case 'nested':
        return this.#slots.get(slot)?.nested.receive(message.message)
      case 'log': {
        const { client, index } = this.#task(message)
        if (client) return client.log(index, message.stream, message.text)
        // Printed between tasks, by code that some task left behind. That of a cancelled job nobody wants.
        if (message.chunk === 0) process[message.stream].write(message.text)
        return
      }
      case 'progress': {
        const { client, index } = this.#task(message)
        return client?.progressed(index, message.value)
      }
    }
  }

  #done(slot: number, message: DoneMessage): void {
    const chunk = this.#chunks.get(message.chunk)
    const job = chunk && this.#jobs.get(chunk.job.spec.id)
    if (message.last) this.#endTimer(message.chunk)
    if (message.last) this.#chunks.delete(message.chunk)
    if (message.last) this.#ending.delete(message.chunk)
    this.#awake.rest()
    const { count, last, ms, payload } = message
    // First the next chunk goes out, then this one's results are unpacked: the slot does not wait for us.
    if (job) this.#count(job, -count)
    this.#handle({ type: 'done', chunk: message.chunk, count, last, ms, bytes: payloadBytes(payload) })
    if (!job || count === 0) return
    const label = this.#slots.get(slot)?.slot.label ?? `slot ${slot}`
    job.client.delivered({
      start: chunk.start + message.from,
      count,
      attempt: chunk.attempt,
      failed: message.failed,
      payload,
      ms,
      slot: label,
    })
  }

  /** The task of a chunk has started: from now on its time is limited. */
  #limit(id: number): void {
    const chunk = this.#chunks.get(id)
    const job = chunk && this.#jobs.get(chunk.job.spec.id)
    const timeout = job?.spec.timeout
    if (!job || timeout === undefined) return
    const overdue = (): void => {
      this.#timers.delete(id)
      if (!this.#chunks.delete(id)) return
      this.#count(job, -1)
      this.#handle({ type: 'overdue', chunk: id })
      job.client.lost(
        chunk.start,
        1,
        new TaskTimeoutError(timeout, `Task ${chunk.start} of '${job.spec.name}'`),
        chunk.attempt,
      )
    }
    this.#timers.set(id, setTimeout(overdue, timeout).unref())
  }

  #endTimer(chunk: number): void {
    const timer = this.#timers.get(chunk)
    if (!timer) return
    clearTimeout(timer)
    this.#timers.delete(chunk)
  }

  #task(at: { chunk: number; offset: number }): { client: JobClient | undefined; index: number } {
    const chunk = this.#chunks.get(at.chunk) ?? this.#ending.get(at.chunk)
    const job = chunk && this.#jobs.get(chunk.job.spec.id)
    return { client: job?.client, index: (chunk?.start ?? 0) + at.offset }
  }

  // ---- what keeps the program alive -------------------------------------------------------------------

  /** The program may end when no task is open, although slots idle: threads and sockets are unreferenced. */
  #count(job: RunningJob, change: number): void {
    job.open += change
    this.#open += change
    this.#keepAlive ??= setInterval(() => {}, 2 ** 30)
    if (this.#open > 0) this.#keepAlive.ref()
    else this.#keepAlive.unref()
  }

  #drop(job: RunningJob): void {
    this.#count(job, -job.open)
    if (!this.#jobs.delete(job.key)) return
    const unneeded = this.#programs.end(job.spec.program.id)
    if (unneeded === undefined) return
    for (const { slot, programs } of this.#slots.values()) {
      if (programs.delete(unneeded)) slot.send({ type: 'unload', program: unneeded }, [])
    }
  }
}

function poolKey(kind: SlotKind): string {
  const { isolation, memory = null, runtime = null, wrapper = null, env } = kind
  return JSON.stringify([isolation, memory, runtime, wrapper, Object.entries(env).sort()])
}
