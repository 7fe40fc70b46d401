/**
 * dicomp: wrap a function, call it as before, and it runs on every core.
 * @packageDocumentation
 */

export type { JobState } from './api/batch.ts'
export { Cluster, type Distribute } from './api/cluster.ts'
export { type ConnectOptions, connect, distribute } from './api/connect.ts'
export type { DetachedInfo, DetachedJob, DetachedState, LogLine } from './api/detached.ts'
export type { Distributed, InputOf, SettledItem } from './api/distribute.ts'
export type { Inputs, NumericArray } from './api/inputs.ts'
export { type Item, Job, type Outcome } from './api/job.ts'
export type { DetachedOptions, LogEntry, RetryOptions, StreamOptions, TaskOptions } from './api/options.ts'
export type { Progress } from './api/progress.ts'
export type { Duration, Size } from './api/quantities.ts'
export { pack, transfer, unpack } from './codec/index.ts'
export type { NodeInfo } from './engine/engine.ts'
export * from './errors.ts'
export { type TaskApi, task } from './task.ts'
