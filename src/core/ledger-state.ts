/** What the ledger knows and says. Plain data: no I/O, no clock. */
import type { Backlog, Span } from './backlog.ts'
import type { Pace } from './chunk-size.ts'

/** Times in milliseconds, sizes in bytes. */
export interface LedgerSettings {
  /** Work per chunk that is aimed at, milliseconds. */
  targetMs: number
  /** The same while much work waits. */
  longTargetMs: number
  /** Largest payload of a message. */
  inlineBytes: number
  /** A chunk that the queue has not acknowledged after this long is published again. */
  pubAckMs: number
}

/** What the ledger has to know of a job. */
export interface LedgerJobSpec {
  id: number
  /** Nodes that satisfy the same need are alike. */
  need: string
  /** Higher goes first. */
  priority: number
  /** Most tasks of one chunk. */
  cap: number
  /** One task per chunk. */
  solo: boolean
  /** Most tasks of this job that are on their way or run at the same time. */
  concurrency: number
}

export interface LedgerJob {
  spec: LedgerJobSpec
  /** What every node needs to run it is there: its chunks may leave. */
  ready: boolean
  backlog: Backlog
  pace: Pace
  /** Chunks that are on their way or run. */
  chunks: Set<LedgerChunk>
  /** Those of them whose payload is being stored. */
  preparing: number
  /** Nodes that know of it. */
  nodes: Set<string>
  /** When it last had a turn; the least recent goes first among equals. */
  served: number
}

export interface LedgerChunk {
  id: number
  job: LedgerJob
  start: number
  count: number
  attempt: number
  solo: boolean
  /** Little comes after it: the slots of its node share it. */
  tail: boolean
  /** Nodes that were lost with these tasks. */
  losses: number
  /** See Span. */
  since: number
  /** Tasks without a result, as spans of [start, end). */
  open: [start: number, end: number][]
  /** `preparing`: its payload is being made or stored. `sent`: not acknowledged. `queued`: nobody has it. */
  state: 'preparing' | 'sent' | 'queued' | 'held' | 'over'
  /** Who has it. */
  node: string | undefined
  /** That node has said so; otherwise it was sent there, and is taken to be there. */
  sure: boolean
  /** Since when it has its state. */
  at: number
  /** When it is published again, unless somebody takes it. */
  again: number
  /** Times that it was published again. */
  tries: number
  /** A node was lost that may have taken it. */
  doubt: boolean
  /** Of its message. */
  bytes: number
  /** Heartbeats of its node in a row that did not have it. */
  missed: number
  /** Reports that have come; those of a chunk are numbered from 0. */
  reports: Set<number>
  /** Number of its last report, once that has come. */
  lastReport: number | undefined
}

/** A chunk of these tasks, of which nothing has left yet. */
export function newChunk(id: number, job: LedgerJob, span: Span, tail: boolean, now: number): LedgerChunk {
  const { start, end, attempt, solo, losses, since } = span
  return {
    id,
    job,
    start,
    count: end - start,
    attempt,
    solo,
    tail,
    losses,
    since,
    open: [[start, end]],
    state: 'preparing',
    node: undefined,
    sure: false,
    at: now,
    again: Infinity,
    tries: 0,
    doubt: false,
    bytes: 0,
    missed: 0,
    reports: new Set(),
    lastReport: undefined,
  }
}

/** It was sent to a node which has not said that it has it. */
export const isPresumed = ({ state, sure }: LedgerChunk): boolean => state === 'held' && !sure

/** Tasks with an outcome: a report of a node. */
export interface Report {
  node: string
  job: number
  chunk: number
  seq: number
  start: number
  count: number
  last: boolean
  /** How long they took; undefined where that says nothing (they were lost). */
  ms: number | undefined
  bytes: number
}

export type LedgerEvent =
  | { type: 'job'; spec: LedgerJobSpec }
  /** What nodes need to run it is stored, or is not there any more. */
  | { type: 'ready' | 'unready'; job: number }
  | { type: 'tasks'; job: number; start: number; end: number; attempt: number }
  /** Nobody wants these tasks any more. */
  | { type: 'drop'; job: number; start: number; end: number }
  /** Nobody wants the rest of this job; it is over. */
  | { type: 'forget'; job: number }
  /** Slots of the nodes that satisfy a need, how many of them have no work, and how many the smallest node has. */
  | { type: 'capacity'; need: string; slots: number; free: number; team: number }
  /** The message of a chunk was published: in the queue, or to a `node` that should have room for it. */
  | { type: 'sent'; chunk: number; bytes: number; node?: string | undefined }
  /** Only the first `count` tasks of a chunk that is being prepared fit a message. */
  | { type: 'cut'; chunk: number; count: number }
  /** It cannot be prepared now: back into the queue, until the job is `ready` again. */
  | { type: 'unprepared'; chunk: number }
  | { type: 'acked'; chunk: number }
  /** The node to which it was sent has no room. */
  | { type: 'returned'; node: string; chunk: number }
  | { type: 'refused'; chunk: number }
  | { type: 'held'; node: string; chunks: readonly (readonly [job: number, chunk: number])[] }
  | ({ type: 'report' } & Report)
  /** A heartbeat: all that a node holds of this client. */
  | { type: 'holds'; node: string; chunks: readonly (readonly [job: number, chunk: number])[] }
  | { type: 'nodeLost'; node: string }
  | { type: 'disconnected' }
  /** `fresh`: another server than before, whose memory may be empty. */
  | { type: 'reconnected'; fresh: boolean }
  /** Now and then, while tasks are open. */
  | { type: 'tick' }

export type LedgerAction =
  /** Make its message and publish it; answered with `sent`, `cut` or `unprepared`. */
  | { type: 'publish'; chunk: LedgerChunk }
  /** The same message once more, in the queue. */
  | { type: 'republish'; chunk: LedgerChunk }
  /** Nobody but its node needs the message of this chunk any more. */
  | { type: 'taken'; chunk: LedgerChunk }
  /** It is over, whatever became of it. */
  | { type: 'closed'; chunk: LedgerChunk }
  /** Tell a node that nobody wants these chunks from it. */
  | { type: 'drop'; node: string; job: number; chunk: number }
  | { type: 'dropTasks'; node: string; job: number; chunk: number; start: number; end: number }
  | { type: 'forget'; node: string; job: number }
  /** The outcomes in the report that was handled count, but for those at these offsets. */
  | { type: 'deliver'; job: number; start: number; count: number; ignore: number[] }
  /** Too many nodes were lost with this task. */
  | { type: 'giveUp'; job: number; index: number; losses: number }
