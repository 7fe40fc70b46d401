/** A slot as its owner sees it: something that takes messages, answers, and may die at any moment. */
import type { SlotExit } from '../errors.ts'
import type { FromSlot, SlotKind, ToSlot } from './protocol.ts'

export interface Slot {
  /** For people: `thread 2`, `process 4711`. */
  readonly label: string
  /** @param transfer buffers of `message` that the owner gives away (threads move them, processes copy) */
  send(message: ToSlot, transfer: ArrayBuffer[]): void
  /** Ends it now, whatever it does. `exited` is still called. */
  kill(): void
  /** Ends it when it has nothing to do. */
  close(): void
}

export interface SlotEvents {
  message(message: FromSlot): void
  /** Called once, after the last message. */
  exited(exit: Exit): void
}

export interface Exit extends SlotExit {
  /** It died for lack of memory. */
  memory: boolean
  /** The uncaught error that ended it, as far as it is known. */
  cause?: unknown
}

/** Characters of stderr that are kept for the error message of a crash. */
const STDERR_TAIL = 4096

/** `tail` and what was printed after it, cut to the end that is kept. */
export const tailOf = (tail: string, text: string): string => (tail + text).slice(-STDERR_TAIL)

/** @param slots how many slots share this computer's memory */
export type SpawnSlot = (id: number, kind: SlotKind, slots: number, events: SlotEvents) => Slot
