/** What the formatter needs to know about a job: the shape of `job.progress`. */
export interface Snapshot {
  /** Number of tasks, or undefined while the inputs are still being read. */
  total: number | undefined
  /** `total` is an estimate (printed as `~10,000`). @default false */
  approximate?: boolean
  done: number
  /** Tasks among `done`, or beside it, that ended with an error. */
  failed: number
  running: number
  slots: number
  /** Tasks per second. */
  rate: number
  /** Milliseconds until the end, or undefined when nobody can know. */
  etaMs: number | undefined
  /** Milliseconds since the job began. */
  elapsedMs: number
}

/** What the renderer needs of a job; `Job` of the public API has it, from whichever copy of the package it is. */
export interface WatchedJob {
  readonly name: string
  readonly progress: Snapshot
  readonly state: string
  /** Settles when the job has ended, however it ended. */
  readonly done: Promise<unknown>
}
