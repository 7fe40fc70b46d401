/**
 * `task`: what a function can know about its own execution. Inside a slot the runner answers; outside (a plain
 * call, `local()`) there is nothing to know, and the same code still works.
 */

export interface TaskApi {
  /** The nth execution of this task, from 1: use it as an idempotency key for side effects. */
  readonly attempt: number
  /** Position of the task in its job, from 0. */
  readonly index: number
  /** Id of the job that the task belongs to. */
  readonly jobId: string
  /** Aborted when the task is cancelled or has run out of time; stop soon, the slot is killed 100 ms later. */
  readonly signal: AbortSignal
  /** Sends a value to the caller now; it arrives at the job's `onProgress`. The value must be able to travel. */
  progress(value: unknown): void
  /** Writes a line to the output of the program that submitted the job. */
  log(...values: unknown[]): void
}

/** Where the runner puts its part of the library, for the code that it runs. */
export const RUNTIME = Symbol.for('dicomp.runtime')

const outside: TaskApi = {
  attempt: 1,
  index: 0,
  jobId: 'local',
  signal: new AbortController().signal,
  progress() {},
  log: (...values) => console.log(...values),
}

const answer = (): TaskApi => (globalThis as { [RUNTIME]?: { task?: TaskApi } })[RUNTIME]?.task ?? outside

/** Facts about the execution that the code is part of. */
export const task: TaskApi = {
  get attempt() {
    return answer().attempt
  },
  get index() {
    return answer().index
  },
  get jobId() {
    return answer().jobId
  },
  get signal() {
    return answer().signal
  },
  progress: (value) => answer().progress(value),
  log: (...values) => answer().log(...values),
}
