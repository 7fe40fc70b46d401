/**
 * What a slot and its owner say to each other. The same messages travel over a MessagePort (threads) and in
 * length-prefixed frames over a socket (processes). `runner/` answers them, `engine/` sends them.
 */
import type { NativePackage } from '../capture/types.ts'
import type { Encoded } from '../codec/index.ts'

/** The values of consecutive tasks (their arguments, or their results) as they travel. */
export type Payload =
  /** One number each: the fast path. */
  | { kind: 'f64'; values: Float64Array | number[] }
  /** Anything: encoded arrays which, one after the other, have an element per task. */
  | { kind: 'any'; lists: Encoded[] }

/** Code and captured values that a slot can run. `id` is unique in the owner's process. */
export interface SlotProgram {
  id: number
  name: string
  /** Absolute path of the bundle. */
  file: string
  natives: NativePackage[]
  env: Encoded
}

export interface RunMessage {
  type: 'run'
  chunk: number
  program: number
  /** Index, in its job, of the chunk's first task. */
  start: number
  /** Number of tasks. */
  count: number
  /** An element of `payload` is an array of arguments; otherwise it is the only argument. */
  spread: boolean
  /** The nth execution of these tasks, from 1. */
  attempt: number
  job: string
  /** Say `begun` when the first task starts: its time is limited. */
  timed: boolean
  /** Nothing else is in flight: the next call may follow its result at once. */
  alone: boolean
  /** Offsets of tasks that must not run: their arguments could not be encoded. */
  skip: number[]
  payload: Payload
}

/** Owner → slot. */
export type ToSlot =
  | { type: 'load'; program: SlotProgram }
  | { type: 'unload'; program: number }
  | RunMessage
  /** Set task.signal of the task that runs, and skip those that have not begun. */
  | { type: 'abort'; chunk: number; reason: string }
  /** Another slot is idle: return what has not begun. */
  | { type: 'giveBack'; chunk: number }
  /** Answers to nested work, see nested.ts. */
  | { type: 'nested'; message: NestedToSlot }
  | { type: 'close' }

export interface DoneMessage {
  type: 'done'
  chunk: number
  /** Offset, within the chunk, of the first task reported here. */
  from: number
  /** Number of tasks reported here. */
  count: number
  /** Offsets (within this message) of the tasks whose payload element is an error. */
  failed: number[]
  /** The chunk is over; its tasks after these were not begun. */
  last: boolean
  /** Milliseconds that these tasks took. */
  ms: number
  payload: Payload
}

/** Slot → owner. */
export type FromSlot =
  | { type: 'ready' }
  | { type: 'begun'; chunk: number }
  | DoneMessage
  /** The chunk's current task waits for nested calls: the slot can take another chunk. */
  | { type: 'waiting'; chunk: number; yes: boolean }
  | { type: 'log'; stream: 'stdout' | 'stderr'; text: string; chunk: number; offset: number }
  | { type: 'progress'; chunk: number; offset: number; value: Encoded }
  | { type: 'nested'; message: NestedFromSlot }
  /** A task asked its slot to end with a signal (in a thread a real one would end the whole program). */
  | { type: 'signal'; signal: string }
  /** An error that nobody caught, encoded; the slot ends. */
  | { type: 'uncaught'; error: Encoded }

/** Results of consecutive tasks, on their way to who submitted them. */
export interface Delivery {
  /** Index of the first task. */
  start: number
  count: number
  attempt: number
  /** Offsets of the tasks whose element is an error. */
  failed: number[]
  payload: Payload
  /** Time that the slot spent on them, milliseconds. Those who pass results on do not always know it. */
  ms?: number
  /** Offsets of tasks that have had their outcome already: their elements count for nothing. @default none */
  ignore?: number[]
  /** Where they ran, for people: `thread 2`. */
  slot: string
}

/** A task uses the engine: the same calls that the API makes on it, as messages. `job` is chosen by the slot. */
export type NestedFromSlot =
  | { type: 'submit'; job: number; spec: NestedSpec }
  | {
      type: 'add'
      job: number
      start: number
      end: number
      attempt: number
      payload: Payload
      skip: number[]
    }
  | { type: 'drop'; job: number; start: number; end: number }
  | { type: 'cancel'; job: number }
  | { type: 'forget'; job: number }

export type NestedToSlot =
  | { type: 'delivered'; job: number; delivery: Delivery }
  | { type: 'lost'; job: number; start: number; count: number; error: Encoded; attempt: number | undefined }
  | { type: 'log'; job: number; index: number; stream: 'stdout' | 'stderr'; text: string }
  | { type: 'progress'; job: number; index: number; value: Encoded }

/** A `TaskSpec` (engine/engine.ts) whose program is named by its parts. */
export interface NestedSpec {
  /** For people: `solve-3`. */
  id: string
  name: string
  program: Omit<SlotProgram, 'id'>
  /** Elements are arrays of arguments; otherwise each is the only argument. */
  spread: boolean
  priority: number
  /** Most tasks of one chunk. */
  cap: number
  /** One task per chunk. */
  solo: boolean
  /** Milliseconds that one execution may take. */
  timeout: number | undefined
  /** Most tasks at the same time. */
  concurrency: number
  /** Slots that one task may kill. */
  crashes: number
  pool: SlotKind
}

/** Slots of one kind are alike. */
export interface SlotKind {
  isolation: 'thread' | 'process'
  /** Limit in bytes. */
  memory: number | undefined
  /** What the user named; the usual variables come from whoever starts the slot (environment.ts). */
  env: Record<string, string>
  /** Command of the runtime of process slots: Node.js, Bun or Deno. @default the one that runs this program */
  runtime?: string
  /** Command of process slots in front of the runtime's: a sandbox. @default none */
  wrapper?: string[]
}
