/** A simulated engine: slots that run the scheduler's chunks on a clock of their own, and die when a task says so. */
import { Scheduler } from '../../src/core/scheduler.ts'
import type { Action, Chunk, Event, JobSpec } from '../../src/core/state.ts'

export interface SimTask {
  /** Milliseconds. */
  duration: number
  /** Its execution kills the slot. */
  kills?: boolean
  memory?: boolean
  /** Ignores being stopped. */
  stubborn?: boolean
}

interface SimSlot {
  pool: string
  chunks: { chunk: Chunk; done: number; asked: boolean; aborted: boolean; busy: boolean }[]
  ready: boolean
  doomed: boolean
}

export class World {
  readonly scheduler: Scheduler
  readonly limit: number
  now = 0
  /** `job:index` → how often it was delivered or lost. */
  readonly delivered = new Map<string, number>()
  readonly lost = new Map<string, { cause: string; kills: number }>()
  readonly executions = new Map<string, number>()
  readonly order: string[] = []
  /** Most chunks that ran at the same time, and most live slots. */
  mostBusy = 0
  readonly bySlot = new Map<number, string[]>()
  /** Slots that die while they start. */
  startsFail = false
  kills = 0
  readonly #slots = new Map<number, SimSlot>()
  readonly #events: { at: number; turn: number; run(): void }[] = []
  readonly #tasks = new Map<number, SimTask[]>()
  #turn = 0

  constructor(slots: number) {
    this.limit = slots
    this.scheduler = new Scheduler({ slots })
  }

  job(spec: Partial<JobSpec> & { id: number }, tasks: SimTask[], at = 0): void {
    this.#tasks.set(spec.id, tasks)
    const full = { pool: 'a', priority: 0, cap: 256, solo: false, concurrency: Infinity, crashes: 3, ...spec }
    this.#after(at, () => {
      this.handle({ type: 'job', spec: full })
      this.handle({ type: 'tasks', job: spec.id, start: 0, end: tasks.length, attempt: 1 })
    })
  }

  at(ms: number, run: () => void): void {
    this.#after(ms, run)
  }

  handle(event: Event): void {
    for (const action of this.scheduler.handle(event, this.now)) this.#act(action)
    let busy = 0
    for (const slot of this.#slots.values()) if (slot.chunks.length > 0) busy++
    this.mostBusy = Math.max(this.mostBusy, busy)
  }

  /** Until nothing more happens. Throws when that takes too many steps, which is a livelock. */
  run(): void {
    for (let steps = 0; this.#events.length > 0; steps++) {
      if (steps > 200_000) throw new Error('the simulation does not end')
      this.#events.sort((a, b) => a.at - b.at || a.turn - b.turn)
      const next = this.#events.shift() as { at: number; run(): void }
      this.now = Math.max(this.now, next.at)
      next.run()
    }
  }

  get slots(): number {
    return this.#slots.size
  }

  #after(ms: number, run: () => void): void {
    this.#events.push({ at: this.now + ms, turn: this.#turn++, run })
  }

  #act(action: Action): void {
    switch (action.type) {
      case 'start': {
        this.#slots.set(action.slot, { pool: action.pool, chunks: [], ready: false, doomed: false })
        this.#after(30, () => {
          const slot = this.#slots.get(action.slot)
          if (!slot) return
          if (this.startsFail) return this.#die(action.slot, false)
          slot.ready = true
          this.handle({ type: 'ready', slot: action.slot })
        })
        return
      }
      case 'send': {
        const slot = this.#slots.get(action.chunk.slot.id)
        if (!slot)
          throw new Error(`chunk ${action.chunk.id} was sent to slot ${action.chunk.slot.id}, which is gone`)
        if (!slot.ready) throw new Error('a chunk was sent to a slot that is not ready')
        slot.chunks.push({ chunk: action.chunk, done: 0, asked: false, aborted: false, busy: false })
        this.#step(action.chunk.slot.id)
        return
      }
      case 'abort':
      case 'giveBack': {
        const slot = this.#slots.get(action.chunk.slot.id)
        const held = slot?.chunks.find(({ chunk }) => chunk === action.chunk)
        if (!slot || !held) return
        if (action.type === 'abort') held.aborted = true
        else held.asked = true
        if (held !== slot.chunks[0]) this.#after(0.1, () => this.#finish(action.chunk.slot.id, held))
        return
      }
      case 'kill':
      case 'stop':
        if (action.type === 'kill') this.kills++
        this.#slots.delete(action.slot)
        return
      case 'lost':
        for (let index = action.start; index < action.start + action.count; index++) {
          const key = `${action.job}:${index}`
          if (this.lost.has(key)) throw new Error(`${key} was lost twice`)
          this.lost.set(key, { cause: action.cause, kills: action.kills })
        }
        return
      case 'later':
        this.#after(action.ms, () => this.handle(action.event))
    }
  }

  /** Begins the next task of the slot's first chunk. */
  #step(id: number): void {
    const slot = this.#slots.get(id)
    const held = slot?.chunks[0]
    if (!slot || !held || held.busy) return
    const { chunk } = held
    if (held.done >= chunk.count || (held.aborted && held.done === 0) || (held.asked && held.done > 0)) {
      return this.#finish(id, held)
    }
    const index = chunk.start + held.done
    const key = `${chunk.job.spec.id}:${index}`
    const task = this.#tasks.get(chunk.job.spec.id)?.[index] as SimTask
    this.executions.set(key, (this.executions.get(key) ?? 0) + 1)
    this.order.push(key)
    const ran = this.bySlot.get(id) ?? []
    this.bySlot.set(id, [...ran, key])
    held.busy = true
    this.#after(task.duration, () => {
      held.busy = false
      if (!this.#slots.has(id)) return
      if (task.kills) return this.#die(id, task.memory ?? false)
      if (held.aborted && task.stubborn) return
      held.done++
      this.#step(id)
    })
  }

  #finish(id: number, held: SimSlot['chunks'][number]): void {
    const slot = this.#slots.get(id)
    const at = slot?.chunks.indexOf(held) ?? -1
    if (!slot || at < 0) return
    slot.chunks.splice(at, 1)
    const { chunk } = held
    if (chunk.state === 'running') {
      for (let index = chunk.start; index < chunk.start + held.done; index++) {
        const key = `${chunk.job.spec.id}:${index}`
        this.delivered.set(key, (this.delivered.get(key) ?? 0) + 1)
      }
    }
    this.handle({
      type: 'done',
      chunk: chunk.id,
      count: held.done,
      last: true,
      ms: held.done * 0.1,
      bytes: 0,
    })
    if (at === 0) this.#step(id)
  }

  #die(id: number, memory: boolean): void {
    this.#slots.delete(id)
    this.handle({ type: 'died', slot: id, memory })
  }
}
