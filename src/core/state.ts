/** What the scheduler knows and says. Plain data: no I/O, no clock. */
import type { Pace } from './chunk-size.ts'
import type { RangeQueue } from './ranges.ts'

export interface Settings {
  /** Most slots that run tasks at the same time. */
  slots: number
  /**
   * Who feeds the queue has cut the work already, and says when little is left: until then a chunk is all that is there,
   * up to so many milliseconds of work, but its part when several slots idle. @default undefined: we cut
   */
  precutMs?: number | undefined
}

/** What the scheduler has to know of a job. */
export interface JobSpec {
  id: number
  /** Slots with the same key are alike (isolation, memory limit, environment); a job names the kind it needs. */
  pool: string
  /** Higher goes first. */
  priority: number
  /** Most tasks of one chunk. */
  cap: number
  /** One task per chunk: each has a timeout or a deadline of its own. */
  solo: boolean
  /** Most tasks of this job that run at the same time. */
  concurrency: number
  /** Slots that one task may kill before it is given up. */
  crashes: number
}

export interface Job {
  spec: JobSpec
  queue: RangeQueue
  /** Little comes after what is queued, says who has cut it: slots share what is left. */
  tail: boolean
  pace: Pace
  /** Chunks in flight. */
  chunks: Set<Chunk>
  /** Slots that each task alone has killed, by index. */
  crashes: Map<number, number>
  /** How often each task that waited for nested ones lost its slot to another task, by index. */
  restarts: Map<number, number>
  /** When it was last given a slot; the least recent goes first among equals. */
  served: number
}

export interface Chunk {
  id: number
  job: Job
  slot: Slot
  start: number
  count: number
  attempt: number
  solo: boolean
  /** Tasks reported so far. */
  reported: number
  /** The slot has started its first task. */
  begun: boolean
  /** Its current task waits for a nested call, so the slot can run something else. */
  waiting: boolean
  /** `stopping`: nobody wants its results any more; it has some grace before its slot is killed. */
  state: 'running' | 'stopping'
  /** Nothing else ran or waited when it was sent: somebody may be waiting for just this. */
  alone: boolean
  /** The slot was asked to give back what has not begun. */
  asked: boolean
}

export interface Slot {
  id: number
  pool: string
  /** `starting` and `ready` slots take work; a `spare` waits to replace one that dies. */
  state: 'starting' | 'ready' | 'spare'
  /** It has said that it is ready. */
  booted: boolean
  /** In the order in which they were sent; the slot begins them in that order. */
  chunks: Chunk[]
  idleSince: number
}

export type Event =
  /** Work for this pool is being prepared: a slot may start meanwhile. */
  | { type: 'warm'; pool: string }
  | { type: 'job'; spec: JobSpec }
  /** Tasks to run: new ones, or (`attempt` > 1) failed ones again. `apart`: see Range. `tail`: see Job. */
  | {
      type: 'tasks'
      job: number
      start: number
      end: number
      attempt: number
      apart?: boolean | undefined
      tail?: boolean | undefined
    }
  /** Nobody wants these tasks any more. */
  | { type: 'drop'; job: number; start: number; end: number }
  /** Nobody wants the rest of this job. */
  | { type: 'cancel'; job: number }
  /** The job is over: every task was settled. */
  | { type: 'forget'; job: number }
  | { type: 'ready'; slot: number }
  /** `count` more tasks of the chunk have a result; with `last`, the rest of it was not begun. */
  | { type: 'done'; chunk: number; count: number; last: boolean; ms: number; bytes: number }
  | { type: 'waiting'; chunk: number; yes: boolean }
  /** The task of this (solo) chunk took too long. */
  | { type: 'overdue'; chunk: number }
  /** The grace of a stopping chunk is over. */
  | { type: 'grace'; chunk: number }
  | { type: 'died'; slot: number; memory: boolean }
  /** Now and then: stop slots that nobody needs. */
  | { type: 'tick' }

export type LostCause = 'crash' | 'memory' | 'start'

export type Action =
  | { type: 'start'; slot: number; pool: string }
  | { type: 'send'; chunk: Chunk }
  | { type: 'abort'; chunk: Chunk }
  | { type: 'giveBack'; chunk: Chunk }
  /** Kill it now; it is forgotten already. */
  | { type: 'kill'; slot: number }
  /** Let it end by itself; it has nothing to do. */
  | { type: 'stop'; slot: number }
  /** Tasks that get no further attempt; `slot` is the one that died last. */
  | { type: 'lost'; job: number; start: number; count: number; cause: LostCause; kills: number; slot: number }
  /** Send `event` after `ms` milliseconds. */
  | { type: 'later'; ms: number; event: Event }
