/**
 * What a slot and its owner say to each other. The same messages travel over a MessagePort (threads) and in
 * length-prefixed frames over a socket (processes). `runner/` answers them, `engine/` sends them.
 */
import type { Encoded } from '../codec/index.ts'
import type { NativePackage } from '../capture/types.ts'

/** The values of consecutive tasks (their arguments, or their results) as they travel. */
export type Payload =
  /** One number each: the fast path. */
  | { kind: 'f64'; values: Float64Array }
  /** Anything: an encoded array with one element per task. */
  | ({ kind: 'any' } & Encoded)

/** Owner → slot. */
export type ToSlot =
  /** Code that later `run`s name by `program`: a bundle file plus captured values. */
  | { type: 'load'; program: number; file: string; natives: NativePackage[]; env: Encoded; name: string }
  | { type: 'unload'; program: number }
  | {
      type: 'run'
      chunk: number
      program: number
      /** Index, in its job, of the chunk's first task. */
      start: number
      /** Number of tasks. */
      count: number
      /** How `payload` elements become arguments: one argument each, or an array of arguments each. */
      spread: boolean
      /** The nth execution of these tasks, from 1. */
      attempt: number
      job: string
      payload: Payload
    }
  /** Set task.signal of the tasks that run, and skip those that have not begun. */
  | { type: 'abort'; chunk: number; reason: string }
  /** Some slot is idle: give back what has not begun. (Threads read a shared flag instead.) */
  | { type: 'idle'; yes: boolean }
  /** Answer to a nested call. */
  | { type: 'reply'; call: number; ok: boolean; value: Encoded }
  | { type: 'close' }

/** Slot → owner. */
export type FromSlot =
  | { type: 'ready'; pid: number; runtime: string }
  /**
   * `count` tasks of the chunk from its offset `from` are done. `failed` lists offsets (within the chunk) whose
   * payload element is an error. The chunk is finished with the message that has `last`; tasks after the last
   * reported one were not begun (they were given back, or skipped).
   */
  | {
      type: 'done'
      chunk: number
      from: number
      count: number
      failed: number[]
      last: boolean
      /** Milliseconds that the reported tasks took. */
      ms: number
      payload: Payload
    }
  /** All tasks of the slot wait for nested calls: it can take another chunk. */
  | { type: 'waiting'; yes: boolean }
  | { type: 'log'; stream: 'stdout' | 'stderr'; text: string; chunk: number; offset: number }
  | { type: 'progress'; chunk: number; offset: number; value: Encoded }
  /** A task calls a distributed function. */
  | { type: 'call'; call: number; chunk: number; offset: number; request: Encoded }
  /** The program could not be loaded. */
  | { type: 'loadFailed'; program: number; error: Encoded }
