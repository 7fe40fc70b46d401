/**
 * What queues tasks and moves bytes. The API speaks to every engine through this interface, and every engine
 * passes the same contract tests. Engines see indexes and bytes, never user values.
 */
import type { Encoded } from '../codec/index.ts'
import type { Connection } from '../nats/connection.ts'
import type { Delivery, NestedSpec, Payload, SlotKind, SlotProgram } from '../slot/protocol.ts'

export interface Engine {
  /** Tasks that can run at the same time. */
  readonly slots: number
  /** Work for such slots is being prepared (captured, bundled): one may start meanwhile. */
  warm(kind: SlotKind): void
  submit(spec: TaskSpec, client: JobClient): EngineJob
  /** The computers that it reaches, as far as is known now; missing where there is only this one. */
  nodes?(): NodeInfo[]
  /** What tasks wait for, and how long; undefined when none has to. */
  waiting?(): string | undefined
  /** To the server of its cluster, where it has one. */
  connection?(): Promise<Connection>
  /** Ends all slots. Work that is left is lost with a ClosedError. */
  close(): Promise<void>
}

/** A node, for people. */
export interface NodeInfo {
  /** Unique in the pool. */
  name: string
  /** `incompatible`: its dicomp speaks another protocol, so it gets nothing of this program. */
  state: 'working' | 'draining' | 'incompatible'
  slots: number
  /** Slots without work, as of its last heartbeat. */
  free: number
  tags: string[]
  /** Bytes per slot. */
  memory: number
  os: string
  arch: string
  cpus: number
  /** For example `node 22.11.0`. */
  runtime: string
  /** Version of dicomp. */
  version: string
}

/** What an engine has to know of a job. */
export interface TaskSpec extends Omit<NestedSpec, 'program'> {
  program: SlotProgram
  /** What nodes must be tagged with. One computer has everything. @default none */
  tags?: string[]
}

/** Arguments of consecutive tasks. */
export interface Arguments {
  payload: Payload
  /** The payload was made for this call: its buffers may be moved away. */
  owned: boolean
  /** Offsets of tasks that could not be encoded; the client has settled them already. */
  skip: number[]
}

/** The owner of a job: it has the inputs and wants the results. */
export interface JobClient {
  /**
   * Arguments of the tasks from `start`; called again for a task that has to be repeated.
   * @param separate values that are not numbers are encoded one by one, so that the payload can be cut anywhere
   */
  arguments(start: number, count: number, separate: boolean): Arguments
  /** Each task is delivered (or lost) exactly once per `add`. */
  delivered(delivery: Delivery): void
  /**
   * The engine could not get a result for these tasks.
   * @param attempt the execution that failed, where it is one that may be tried again (a timeout)
   */
  lost(start: number, count: number, error: Error, attempt?: number): void
  /** The task failed, and will be added again after a pause: who waits for it still does. */
  retries(index: number): boolean
  log(index: number, stream: 'stdout' | 'stderr', text: string): void
  progressed(index: number, value: Encoded): void
}

export interface EngineJob {
  /**
   * Somebody asks for the task now; it will be added soon, perhaps together with what others asked for. Only an
   * engine inside a slot has to know who: the task that waits.
   */
  asked?(index: number): void
  /** Queues the tasks `start` to `end` (exclusive) for their `attempt`th execution. */
  add(start: number, end: number, attempt: number): void
  /** Nobody wants these tasks, all of which are open: they never begin, or are stopped, and nothing is delivered. */
  drop(start: number, end: number): void
  /** Nobody wants the rest: nothing more is delivered. */
  cancel(): void
  /** All is settled. */
  forget(): void
  snapshot(): { queued: number; running: number; slots: number }
}
