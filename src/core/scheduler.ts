/**
 * The decisions of an engine, as a reactor: an event goes in, actions come out, nothing else happens. The engine
 * around it owns the clock, the slots and the bytes. See README.md in this folder.
 */
import { chunkSize, learn, newPace } from './chunk-size.ts'
import { RangeQueue } from './ranges.ts'
import type { Action, Chunk, Event, Job, JobSpec, LostCause, Settings, Slot } from './state.ts'

/** Time that a stopping task has to end by itself before its slot is killed, milliseconds. */
export const GRACE_MS = 100
/**
 * A chunk that is expected to take no longer may be followed by another one at once, which hides the wake-up (about
 * 0.1 ms). It is given back when another slot idles.
 */
const PREFETCH_MS = 20
/** Slots that may fail to start in a row before the work that needs them is given up. */
const START_FAILURES = 3
/** Times that a task which only waits may be begun anew because another one ended its slot. */
const RESTARTS = 5
/** Slots whose tasks all wait, for each slot that may be busy, before those are given other work. */
const WAITING_PER_SLOT = 1
/** The same for work that may have to be killed, as a number. */
const WAITING_FOR_SOLO = 8
/** An idle slot is stopped after this many milliseconds; one of each pool stays warm. */
const IDLE_MS = 60_000

interface Pool {
  startFailures: number
  /** A slot of it was killed or died: keep a spare, which replaces the next one in 0.2 ms instead of 30. */
  wantsSpare: boolean
}

export class Scheduler {
  readonly #settings: Settings
  readonly #jobs = new Map<number, Job>()
  readonly #slots = new Map<number, Slot>()
  readonly #pools = new Map<string, Pool>()
  readonly #chunks = new Map<number, Chunk>()
  #nextChunk = 1
  #nextSlot = 1
  #turn = 0
  #now = 0
  #out: Action[] = []

  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** @param now milliseconds of any steady clock */
  handle(event: Event, now: number): Action[] {
    this.#now = now
    this.#out = []
    this.#react(event)
    this.#dispatch()
    return this.#out
  }

  /** For people and tests: what is queued and what runs. */
  snapshot(job: number): { queued: number; running: number; slots: number } {
    const state = this.#jobs.get(job)
    if (!state) return { queued: 0, running: 0, slots: 0 }
    const slots = new Set<Slot>()
    let running = 0
    for (const chunk of state.chunks) {
      running += chunk.count - chunk.reported
      slots.add(chunk.slot)
    }
    return { queued: state.queue.length, running, slots: slots.size }
  }

  get slots(): Iterable<Readonly<Slot>> {
    return this.#slots.values()
  }

  #react(event: Event): void {
    switch (event.type) {
      case 'warm': {
        for (const slot of this.#slots.values()) if (slot.pool === event.pool) return
        return this.#start(event.pool, 'starting')
      }
      case 'job':
        return this.#onJob(event.spec)
      case 'tasks': {
        const { start, end, attempt, apart, tail = false } = event
        const job = this.#jobs.get(event.job)
        if (!job) return
        job.tail = tail
        job.queue.push({ start, end, attempt, solo: job.spec.solo, apart })
        return
      }
      case 'drop':
        return this.#onDrop(event.job, event.start, event.end)
      case 'cancel':
        return this.#onCancel(event.job)
      case 'forget': {
        const job = this.#jobs.get(event.job)
        if (job) for (const chunk of job.chunks) this.#stop(chunk)
        this.#jobs.delete(event.job)
        return
      }
      case 'ready':
        return this.#onReady(event.slot)
      case 'done':
        return this.#onDone(event)
      case 'waiting': {
        const chunk = this.#chunks.get(event.chunk)
        if (!chunk) return
        chunk.waiting = event.yes
        return begin(chunk.slot)
      }
      case 'overdue': {
        const chunk = this.#chunks.get(event.chunk)
        if (chunk) this.#stop(chunk)
        return
      }
      case 'grace': {
        const chunk = this.#chunks.get(event.chunk)
        if (!chunk) return
        this.#out.push({ type: 'kill', slot: chunk.slot.id })
        return this.#removeSlot(chunk.slot)
      }
      case 'died':
        return this.#onDied(event.slot, event.memory)
      case 'tick':
        return this.#onTick()
    }
  }

  #onJob(spec: JobSpec): void {
    this.#jobs.set(spec.id, {
      spec,
      queue: new RangeQueue(),
      tail: false,
      pace: newPace(),
      chunks: new Set(),
      crashes: new Map(),
      restarts: new Map(),
      served: 0,
    })
    const pool = this.#pool(spec.pool)
    if (spec.solo) pool.wantsSpare = true
  }

  /** What runs is stopped only when nothing else travels in its chunk. */
  #onDrop(id: number, start: number, end: number): void {
    const job = this.#jobs.get(id)
    if (!job) return
    job.queue.remove(start, end)
    for (const chunk of job.chunks) {
      if (start <= chunk.start + chunk.reported && chunk.start + chunk.count <= end) this.#stop(chunk)
    }
  }

  #onCancel(id: number): void {
    const job = this.#jobs.get(id)
    if (!job) return
    job.queue.clear()
    for (const chunk of job.chunks) this.#stop(chunk)
  }

  #onReady(id: number): void {
    const slot = this.#slots.get(id)
    if (!slot) return
    this.#pool(slot.pool).startFailures = 0
    slot.idleSince = this.#now
    slot.booted = true
    if (slot.state === 'starting') slot.state = 'ready'
  }

  #onDone(event: Extract<Event, { type: 'done' }>): void {
    const chunk = this.#chunks.get(event.chunk)
    if (!chunk) return
    const { job, slot } = chunk
    chunk.reported += event.count
    learn(job.pace, event.count, event.ms)
    if (event.bytes > 0) job.pace.bytesPerTask = event.bytes / Math.max(1, event.count)
    this.#recall(job)
    if (!event.last) return
    this.#detach(chunk)
    begin(slot)
    slot.idleSince = this.#now
    if (chunk.state === 'running') this.#requeue(chunk, chunk.attempt, chunk.solo)
  }

  #onDied(id: number, memory: boolean): void {
    const slot = this.#slots.get(id)
    if (!slot) return
    const pool = this.#pool(slot.pool)
    if (!slot.booted) {
      pool.startFailures++
      this.#slots.delete(id)
      if (pool.startFailures >= START_FAILURES) this.#giveUp(slot)
      return
    }
    pool.wantsSpare = true
    // What waits for a nested call or was not begun is innocent. Two that had begun (one was resumed beside the
    // other) are both tried again unblamed: the guilty one will be alone sooner or later.
    const suspects = slot.chunks.filter((chunk) => chunk.begun && !chunk.waiting)
    if (suspects.length === 1 && suspects[0]?.state === 'running') this.#blame(suspects[0], memory)
    this.#removeSlot(slot)
  }

  /** Finds the task that killed a slot: alone in its chunk it is guilty, otherwise each is tried by itself. */
  #blame(chunk: Chunk, memory: boolean): void {
    const { job } = chunk
    this.#detach(chunk)
    const index = chunk.start + chunk.reported
    const left = chunk.count - chunk.reported
    if (left > 1) return this.#requeue(chunk, chunk.attempt + 1, true)
    const kills = (job.crashes.get(index) ?? 0) + 1
    job.crashes.set(index, kills)
    // A task that ran out of memory will do so again: it has no second try.
    if (memory) this.#lose(job, index, 1, 'memory', kills, chunk.slot)
    else if (kills >= job.spec.crashes) this.#lose(job, index, 1, 'crash', kills, chunk.slot)
    else this.#requeue(chunk, chunk.attempt + 1, true)
  }

  /** Slots of this pool cannot be started: nothing that needs one can ever run. */
  #giveUp(slot: Slot): void {
    for (const other of this.#slots.values()) if (other.pool === slot.pool && other.booted) return
    this.#pool(slot.pool).startFailures = 0
    for (const job of this.#jobs.values()) {
      if (job.spec.pool !== slot.pool) continue
      for (const range of job.queue.clear())
        this.#lose(job, range.start, range.end - range.start, 'start', START_FAILURES, slot)
    }
  }

  #lose(job: Job, start: number, count: number, cause: LostCause, kills: number, slot: Slot): void {
    this.#out.push({ type: 'lost', job: job.spec.id, start, count, cause, kills, slot: slot.id })
  }

  #onTick(): void {
    const kept = new Set<string>()
    for (const slot of this.#slots.values()) {
      if (slot.state !== 'ready' || slot.chunks.length > 0 || !kept.has(slot.pool)) kept.add(slot.pool)
      else if (this.#now - slot.idleSince > IDLE_MS) this.#stopSlot(slot)
    }
  }

  #stop(chunk: Chunk): void {
    if (chunk.state === 'stopping') return
    chunk.state = 'stopping'
    this.#out.push({ type: 'abort', chunk })
    this.#out.push({ type: 'later', ms: GRACE_MS, event: { type: 'grace', chunk: chunk.id } })
  }

  /** Removes a dead slot; what it had not begun goes back in the queue, unblamed. */
  #removeSlot(slot: Slot): void {
    this.#slots.delete(slot.id)
    this.#pool(slot.pool).wantsSpare = true
    for (const chunk of slot.chunks.slice().reverse()) {
      this.#detach(chunk)
      if (chunk.state !== 'running') continue
      if (chunk.waiting) this.#restart(chunk)
      else this.#requeue(chunk, chunk.attempt + (chunk.begun ? 1 : 0), chunk.solo)
    }
  }

  /** Its nested tasks may be what ended the slot, and begin anew with it: that must not go on for ever. */
  #restart(chunk: Chunk): void {
    const { job } = chunk
    const index = chunk.start + chunk.reported
    const restarts = (job.restarts.get(index) ?? 0) + 1
    job.restarts.set(index, restarts)
    if (restarts > RESTARTS) {
      this.#lose(job, index, 1, 'crash', restarts, chunk.slot)
      chunk.reported++
    }
    this.#requeue(chunk, chunk.attempt + 1, chunk.solo)
  }

  #requeue(chunk: Chunk, attempt: number, solo: boolean): void {
    const { job } = chunk
    if (!this.#jobs.has(job.spec.id)) return
    job.queue.unshift({ start: chunk.start + chunk.reported, end: chunk.start + chunk.count, attempt, solo })
  }

  #detach(chunk: Chunk): void {
    this.#chunks.delete(chunk.id)
    chunk.job.chunks.delete(chunk)
    const at = chunk.slot.chunks.indexOf(chunk)
    if (at >= 0) chunk.slot.chunks.splice(at, 1)
  }

  // ---- who gets what next -------------------------------------------------------------------------------

  #dispatch(): void {
    if (!this.#anyQueued()) return this.#shareOut()
    let busy = 0
    for (const slot of this.#slots.values()) if (slot.state !== 'spare' && active(slot) > 0) busy++
    for (const slot of this.#slots.values()) {
      if (busy >= this.#settings.slots) break
      if (slot.state !== 'ready' || slot.chunks.length > 0) continue
      const job = this.#pick(slot, false)
      if (job && this.#send(job, slot)) busy++
    }
    const live = this.#startSlots(busy)
    if (live < this.#settings.slots) this.#shareWithWaiting(live)
    for (const slot of this.#slots.values()) {
      if (slot.state !== 'ready' || active(slot) !== 1 || !slot.chunks.every((each) => this.#isShort(each)))
        continue
      const job = this.#pick(slot, true)
      // What is left goes to whichever slot idles first.
      if (job?.tail && !slot.chunks.every((each) => this.#isShort(each, PREFETCH_MS))) continue
      if (job) this.#send(job, slot)
    }
    this.#shareOut()
  }

  /**
   * Slots whose tasks all wait for nested ones take other work only when no other slot can be had: whatever ends
   * such a slot also ends those that wait.
   */
  #shareWithWaiting(busy: number): void {
    for (const slot of this.#slots.values()) {
      if (busy >= this.#settings.slots) return
      if (slot.state !== 'ready' || slot.chunks.length === 0 || active(slot) > 0) continue
      const job = this.#pick(slot, false)
      if (job && this.#send(job, slot)) busy++
    }
  }

  #anyQueued(): boolean {
    for (const job of this.#jobs.values()) if (job.queue.length > 0) return true
    return false
  }

  /** The job whose turn it is on this slot: by priority, then the one with the fewest chunks in flight. */
  #pick(slot: Slot, prefetch: boolean): Job | undefined {
    let best: Job | undefined
    for (const job of this.#jobs.values()) {
      if (job.queue.length === 0 || job.spec.pool !== slot.pool) continue
      if (job.chunks.size >= job.spec.concurrency) continue
      if (prefetch && (job.queue.peek()?.solo || job.spec.concurrency !== Infinity || !hasShortTasks(job)))
        continue
      if (!best || before(job, best)) best = job
    }
    return best
  }

  #send(job: Job, slot: Slot): boolean {
    const idle = this.#settings.precutMs === undefined ? 0 : this.#idle(slot.pool)
    const size = chunkSize(job.pace, job.queue.length, job.spec.cap, idle, job.tail, this.#settings)
    const range = job.queue.take(job.spec.solo ? 1 : size)
    if (!range) return false
    const count = range.end - range.start
    const chunk: Chunk = {
      id: this.#nextChunk++,
      job,
      slot,
      start: range.start,
      count,
      attempt: range.attempt,
      solo: range.solo,
      reported: 0,
      begun: false,
      waiting: false,
      state: 'running',
      alone: this.#chunks.size === 0 && job.queue.length === 0,
      asked: false,
    }
    job.pace.largest = Math.max(job.pace.largest, count)
    job.served = ++this.#turn
    job.chunks.add(chunk)
    slot.chunks.push(chunk)
    this.#chunks.set(chunk.id, chunk)
    begin(slot)
    this.#out.push({ type: 'send', chunk })
    return true
  }

  /** Slots that could begin something now. */
  #idle(pool: string): number {
    let count = 0
    for (const slot of this.#slots.values()) {
      if (slot.pool === pool && slot.state === 'ready' && slot.chunks.length === 0) count++
    }
    return count
  }

  /**
   * Starts slots for what is queued, as many as may run, and spares where they have proved useful.
   * @returns slots that are busy or will be
   */
  #startSlots(busy: number): number {
    let live = busy
    const waiting = new Map<string, number>()
    const starting = new Map<string, number>()
    for (const slot of this.#slots.values()) {
      if (slot.chunks.length > 0 && active(slot) === 0)
        waiting.set(slot.pool, (waiting.get(slot.pool) ?? 0) + 1)
      if (slot.state !== 'starting') continue
      live++
      starting.set(slot.pool, (starting.get(slot.pool) ?? 0) + 1)
    }
    for (const job of this.#jobs.values()) {
      const pool = job.spec.pool
      const allowed = Math.min(job.queue.length, job.spec.concurrency - job.chunks.size)
      let missing = allowed - (starting.get(pool) ?? 0)
      const most = this.#settings.slots * WAITING_PER_SLOT + (job.queue.peek()?.solo ? WAITING_FOR_SOLO : 0)
      if ((waiting.get(pool) ?? 0) > most) continue
      for (; missing > 0 && live < this.#settings.slots; missing--, live++) this.#newSlot(pool)
    }
    return live
  }

  #newSlot(pool: string): void {
    const spare = [...this.#slots.values()].find((slot) => slot.pool === pool && slot.state === 'spare')
    if (spare) {
      spare.state = spare.booted ? 'ready' : 'starting'
      const job = spare.booted && this.#pick(spare, false)
      if (job) this.#send(job, spare)
    } else {
      this.#start(pool, 'starting')
    }
    if (this.#pool(pool).wantsSpare) this.#ensureSpare(pool)
  }

  #ensureSpare(pool: string): void {
    for (const slot of this.#slots.values()) if (slot.pool === pool && slot.state === 'spare') return
    this.#start(pool, 'spare')
  }

  #start(pool: string, state: 'starting' | 'spare'): void {
    this.#makeRoom(pool)
    const slot: Slot = { id: this.#nextSlot++, pool, state, booted: false, chunks: [], idleSince: this.#now }
    this.#slots.set(slot.id, slot)
    this.#out.push({ type: 'start', slot: slot.id, pool })
  }

  /** An idle slot of another pool makes way, so that many pools do not mean many times the slots. */
  #makeRoom(pool: string): void {
    if (this.#slots.size < this.#settings.slots) return
    for (const slot of this.#slots.values()) {
      if (slot.pool === pool || slot.state === 'starting' || slot.chunks.length > 0) continue
      return this.#stopSlot(slot)
    }
  }

  #stopSlot(slot: Slot): void {
    this.#slots.delete(slot.id)
    this.#out.push({ type: 'stop', slot: slot.id })
  }

  /** A slot idles: those of its pool that hold work which they have not begun are asked to give it back. */
  #shareOut(): void {
    for (const idle of this.#slots.values()) {
      if (idle.state !== 'ready' || idle.chunks.length > 0) continue
      for (const slot of this.#slots.values()) {
        if (slot === idle || slot.pool !== idle.pool) continue
        for (let at = 0; at < slot.chunks.length; at++) {
          const chunk = slot.chunks[at] as Chunk
          if (chunk.asked || chunk.state !== 'running') continue
          if (at === 0 && chunk.count - chunk.reported <= 1) continue
          chunk.asked = true
          this.#out.push({ type: 'giveBack', chunk })
        }
      }
      return
    }
  }

  /** What waits behind work that proves to be long had better wait for whichever slot idles first. */
  #recall(job: Job): void {
    for (const chunk of job.chunks) {
      const [first] = chunk.slot.chunks
      if (chunk.asked || chunk.state !== 'running' || !first || first === chunk || this.#isShort(first))
        continue
      chunk.asked = true
      this.#out.push({ type: 'giveBack', chunk })
    }
  }

  /** Whether the slot needs no more for it than another chunk may wait there. */
  #isShort({ waiting, solo, job, count, reported }: Chunk, most = this.#shortMs): boolean {
    if (waiting) return true
    const ms = job.pace.msPerTask
    return !solo && ms !== undefined && ms * (count - reported) <= most
  }

  get #shortMs(): number {
    return Math.max(PREFETCH_MS, this.#settings.precutMs ?? 0)
  }

  #pool(key: string): Pool {
    let pool = this.#pools.get(key)
    if (!pool) this.#pools.set(key, (pool = { startFailures: 0, wantsSpare: false }))
    return pool
  }
}

/** Chunks of the slot that keep it busy: those that wait for nested calls do not. */
function active(slot: Slot): number {
  let count = 0
  for (const chunk of slot.chunks) if (!chunk.waiting) count++
  return count
}

/** Marks the chunk that the slot is now running: the first that neither waits nor has a busy one before it. */
function begin(slot: Slot): void {
  const next = slot.chunks.find((chunk) => !chunk.waiting)
  if (next) next.begun = true
}

const hasShortTasks = (job: Job): boolean =>
  job.pace.msPerTask !== undefined && job.pace.msPerTask <= PREFETCH_MS

function before(a: Job, b: Job): boolean {
  if (a.spec.priority !== b.spec.priority) return a.spec.priority > b.spec.priority
  if (a.chunks.size !== b.chunks.size) return a.chunks.size < b.chunks.size
  return a.served < b.served
}
