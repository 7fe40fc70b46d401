/** The owner's end of nested work: what the tasks of one slot submitted. Bytes pass through unread. */
import { encode } from '../codec/index.ts'
import { slicePayload } from '../slot/payload.ts'
import type { NestedFromSlot, NestedSpec, NestedToSlot, Payload, SlotProgram } from '../slot/protocol.ts'
import type { Slot } from '../slot/slot.ts'
import type { Arguments, Engine, EngineJob, JobClient } from './engine.ts'

/** Program ids of nested work, apart from those that the API gives. */
let nextProgram = -1

interface Piece {
  start: number
  end: number
  payload: Payload
  skip: number[]
}

interface NestedJob {
  job: EngineJob
  pieces: Piece[]
}

export class NestedJobs {
  readonly #engine: Engine
  readonly #slot: Slot
  readonly #jobs = new Map<number, NestedJob>()
  /** One program per bundle and captured values, however often a task submits it. */
  readonly #programs = new Map<string, SlotProgram>()

  constructor(engine: Engine, slot: Slot) {
    this.#engine = engine
    this.#slot = slot
  }

  receive(message: NestedFromSlot): void {
    if (message.type === 'submit') return this.#submit(message.job, message.spec)
    const nested = this.#jobs.get(message.job)
    if (!nested) return
    if (message.type === 'add') {
      const { start, end, attempt, payload, skip } = message
      // A repeated task (attempt > 1) has its arguments here already, but they may have been sent again changed.
      nested.pieces = nested.pieces.filter((piece) => piece.start !== start || piece.end !== end)
      nested.pieces.push({ start, end, payload, skip })
      return nested.job.add(start, end, attempt)
    }
    this.#jobs.delete(message.job)
    nested.job[message.type]()
  }

  /** The slot is gone, and with it everybody who waited. */
  end(): void {
    for (const { job } of this.#jobs.values()) job.cancel()
    this.#jobs.clear()
  }

  #submit(id: number, spec: NestedSpec): void {
    const pieces: Piece[] = []
    const send = (message: NestedToSlot): void => this.#slot.send({ type: 'nested', message }, [])
    const client: JobClient = {
      arguments: (start, count) => argumentsOf(this.#jobs.get(id)?.pieces ?? pieces, start, count),
      delivered: (delivery) => send({ type: 'delivered', job: id, delivery }),
      lost: (start, count, error) => send({ type: 'lost', job: id, start, count, error: encode(error) }),
      log: (index, stream, text) => send({ type: 'log', job: id, index, stream, text }),
      progressed: (index, value) => send({ type: 'progress', job: id, index, value }),
    }
    const program = this.#program(spec)
    const job = this.#engine.submit({ ...spec, id: `${spec.name}-nested-${id}`, program }, client)
    this.#jobs.set(id, { job, pieces })
  }

  #program({ program }: NestedSpec): SlotProgram {
    const key = `${program.file}\0${Buffer.from(program.env.bytes).toString('latin1')}`
    const known = program.env.attachments.length === 0 ? this.#programs.get(key) : undefined
    if (known) return known
    const made = { ...program, id: nextProgram-- }
    this.#programs.set(key, made)
    return made
  }
}

function argumentsOf(pieces: Piece[], start: number, count: number): Arguments {
  const found: Arguments[] = []
  for (let index = start; index < start + count; ) {
    const piece = pieces.find((candidate) => candidate.start <= index && index < candidate.end) as Piece
    const from = index - piece.start
    const some = Math.min(start + count, piece.end) - index
    const skip = piece.skip
      .filter((at) => at >= from && at < from + some)
      .map((at) => at - from + (index - start))
    found.push({ payload: slicePayload(piece.payload, from, some), skip, owned: false })
    index += some
  }
  return join(found)
}

function join(parts: Arguments[]): Arguments {
  if (parts.length === 1) return parts[0] as Arguments
  const skip = parts.flatMap((part) => part.skip)
  const lists = parts.flatMap(({ payload }) =>
    payload.kind === 'any' ? payload.lists : Array.from(payload.values, (value) => encode([value])),
  )
  return { payload: { kind: 'any', lists }, skip, owned: false }
}
