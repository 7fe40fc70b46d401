/** From what an engine delivers to values and real errors. */
import type { Program } from '../capture/program.ts'
import { reviveError } from '../capture/stack.ts'
import { decode } from '../codec/index.ts'
import type { Delivery, SlotProgram } from '../slot/protocol.ts'

/** The results of a delivery, by offset. */
interface Results {
  /** For tasks that failed, what they threw. */
  values: ArrayLike<unknown>
  failed: number[]
}

/** What a delivery holds. What cannot be read has failed. */
export function readResults(delivery: Delivery, program: Pick<Program, 'entities'>): Results {
  const { payload, failed, count } = delivery
  if (payload.kind === 'f64') return { values: payload.values, failed }
  try {
    const options = { entities: program.entities }
    const lists = payload.lists.map((list) => decode(list, options) as unknown[])
    return { values: lists.length === 1 ? (lists[0] as unknown[]) : lists.flat(), failed }
  } catch (error) {
    const offsets = Array.from({ length: count }, (_, offset) => offset)
    return { values: offsets.map(() => error), failed: offsets }
  }
}

/** Errors that have their final stack: one error may be the outcome of many tasks. */
const revived = new WeakSet<Error>()

/** The error as the caller should see it: its stack in terms of the caller's own files, and the call below it. */
export function callerError(
  error: unknown,
  program: Program | undefined,
  callerStack: string | undefined,
  slot: string,
): unknown {
  if (!program || !(error instanceof Error) || revived.has(error)) return error
  revived.add(error)
  return reviveError(error, {
    bundle: program.bundle,
    slot,
    ...(callerStack === undefined ? {} : { callerStack }),
  })
}

/** What engines have to know of a program. */
export function slotProgram(program: Program): SlotProgram {
  const { id, name, bundle, env } = program
  return { id, name, file: bundle.file, natives: bundle.natives, env }
}
