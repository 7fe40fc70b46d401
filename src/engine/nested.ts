/** The owner's end of nested work: what the tasks of one slot submitted. Bytes pass through unread. */
import { type Encoded, encode } from '../codec/index.ts'
import type { NestedFromSlot, NestedSpec, NestedToSlot, SlotKind, SlotProgram } from '../slot/protocol.ts'
import type { Slot } from '../slot/slot.ts'
import type { Engine, EngineJob, JobClient } from './engine.ts'
import { Pieces } from './pieces.ts'

/** Program ids of nested work, apart from those that the API gives. */
let nextProgram = -1

/** Programs of one slot that are recognised when they are submitted again. */
const KEPT_PROGRAMS = 64

interface NestedJob {
  job: EngineJob
  pieces: Pieces
}

export class NestedJobs {
  readonly #engine: Engine
  readonly #slot: Slot
  readonly #kind: SlotKind
  readonly #jobs = new Map<number, NestedJob>()
  /** One program per bundle and captured values, however often a task submits it. */
  readonly #programs = new Map<string, SlotProgram>()

  constructor(engine: Engine, slot: Slot, kind: SlotKind) {
    this.#engine = engine
    this.#slot = slot
    this.#kind = kind
  }

  receive(message: NestedFromSlot): void {
    if (message.type === 'submit') return this.#submit(message.job, message.spec)
    const nested = this.#jobs.get(message.job)
    if (!nested) return
    switch (message.type) {
      case 'add': {
        const { start, end, attempt, payload, skip } = message
        nested.pieces.add(start, end, payload, skip)
        return nested.job.add(start, end, attempt)
      }
      case 'drop': {
        const { start, end } = message
        nested.pieces.settled(start, end - start)
        return nested.job.drop(start, end)
      }
      default: {
        this.#jobs.delete(message.job)
        nested.job[message.type]()
      }
    }
  }

  /** The slot is gone, and with it everybody who waited. */
  end(): void {
    for (const { job } of this.#jobs.values()) job.cancel()
    this.#jobs.clear()
  }

  #submit(id: number, spec: NestedSpec): void {
    const pieces = new Pieces(spec.spread)
    const send = (message: NestedToSlot): void => this.#slot.send({ type: 'nested', message }, [])
    const lost = (start: number, count: number, error: Error, attempt?: number): void => {
      pieces.settled(start, count)
      send({ type: 'lost', job: id, start, count, error: encodeError(error), attempt })
    }
    const client: JobClient = {
      arguments: (start, count) => pieces.arguments(start, count),
      delivered: (delivery) => {
        pieces.settled(delivery.start, delivery.count)
        send({ type: 'delivered', job: id, delivery })
      },
      lost,
      // Whoever waits is in the slot, and so is this knowledge.
      retries: () => false,
      log: (index, stream, text) => send({ type: 'log', job: id, index, stream, text }),
      progressed: (index, value) => send({ type: 'progress', job: id, index, value }),
    }
    // Nested work has the memory and the environment of the task that asks for it, unless it says otherwise.
    const { memory, env, runtime, wrapper } = this.#kind
    const pool = { ...spec.pool, memory: spec.pool.memory ?? memory, env: { ...env, ...spec.pool.env } }
    if (runtime !== undefined) pool.runtime = runtime
    if (wrapper !== undefined) pool.wrapper = wrapper
    try {
      const job = this.#engine.submit({ ...spec, pool, program: this.#program(spec) }, client)
      this.#jobs.set(id, { job, pieces })
    } catch (error) {
      lost(0, Infinity, error as Error)
    }
  }

  #program({ program }: NestedSpec): SlotProgram {
    const key = `${program.file}\0${Buffer.from(program.env.bytes).toString('latin1')}`
    const known = program.env.attachments.length === 0 ? this.#programs.get(key) : undefined
    if (known) return known
    const made = { ...program, id: nextProgram-- }
    this.#programs.set(key, made)
    const [oldest] = this.#programs.keys()
    if (this.#programs.size > KEPT_PROGRAMS) this.#programs.delete(oldest as string)
    return made
  }
}

/** A cause may be anything that a task threw, also what cannot travel. */
export function encodeError(error: Error): Encoded {
  try {
    return encode(error)
  } catch {
    error.cause = undefined
    return encode(error)
  }
}
