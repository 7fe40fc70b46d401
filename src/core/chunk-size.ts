/**
 * How many tasks travel together. Chunks hide the cost of a message (one task a message: 106k tasks/s, chunks:
 * 1,088k on the same machine), but a long chunk delays cancellation, skews the load and holds the tail, so we
 * stay at the small end: about half a millisecond of work.
 */

import type { Settings } from './state.ts'

/** Work per chunk that we aim at, in milliseconds. Between 0.1 and 10 ms throughput of tiny tasks was the same. */
export const TARGET_MS = 0.5
/**
 * The same while much work waits: with tasks of about a millisecond, a message for each costs several percent of the
 * cores (of two bare threads' speed, 4 ms reach 0.93 and 10 ms 0.98). Nothing waits for such a chunk to end: its results are reported, and the rest asked back, on the way.
 */
export const LONG_TARGET_MS = 10
/** Chunks grow beyond TARGET_MS when the queue holds at least this many of them for every slot. */
const LONG_QUEUE = 16
/** Least work of a chunk when slots share the end of a job that was cut elsewhere, milliseconds. With 8 it ended no sooner. */
const LEAST_TAIL_MS = 20
/** Most tasks of one chunk when each task has a promise of its own. */
export const CALL_CAP = 256
/** Most tasks of one chunk of a map, where a task costs nothing but its value. */
export const MAP_CAP = 65_536
/** Most bytes of one chunk: keeps copies short and memory bounded. */
export const CHUNK_BYTES = 4 << 20
/** A chunk is at most this many times larger than the one before: one fast task proves little. */
const GROWTH = 8
/** Weight of the newest measurement in the moving average. */
const NEWEST = 0.7

/** What a job has taught us about its tasks. */
export interface Pace {
  /** Moving average of milliseconds per task, as the runner measured it; undefined before the first result. */
  msPerTask: number | undefined
  bytesPerTask: number
  /** Size of the largest chunk so far. */
  largest: number
  /** Nothing has been measured since the job had nothing to do: what comes now may be another kind of work. */
  isOld: boolean
}

export const newPace = (): Pace => ({ msPerTask: undefined, bytesPerTask: 0, largest: 0, isOld: false })

export function learn(pace: Pace, tasks: number, ms: number): void {
  if (tasks === 0) return
  const sample = ms / tasks
  const { msPerTask: before } = pace
  // An old pace that was too quick says nothing any more; one quick task after slow ones proves little.
  const isNew = before === undefined || (pace.isOld && sample > before)
  pace.msPerTask = isNew ? sample : NEWEST * sample + (1 - NEWEST) * before
  pace.isOld = false
}

/**
 * Number of tasks for the next chunk, at least 1.
 *
 * The last term is guided self-scheduling (Polychronopoulos and Kuck, 1987): as the queue runs dry chunks shrink,
 * so that no slot is left with a long one while the others have nothing.
 *
 * @param idle slots that could begin now
 * @param tail what was cut elsewhere is shared all the same, since little comes after it
 */
export function chunkSize(
  pace: Pace,
  queued: number,
  cap: number,
  idle: number,
  tail: boolean,
  { slots, precutMs }: Settings,
): number {
  if (pace.msPerTask === undefined) return 1
  const share = (pace.msPerTask * queued) / (LONG_QUEUE * slots)
  const target = precutMs ?? Math.min(LONG_TARGET_MS, Math.max(TARGET_MS, share))
  const byTime = pace.msPerTask > 0 ? target / pace.msPerTask : cap
  const byBytes = pace.bytesPerTask > 0 ? CHUNK_BYTES / pace.bytesPerTask : cap
  const byGrowth = Math.max(1, pace.largest * GROWTH)
  const byShare = Math.ceil(queued / (2 * slots))
  const byIdle = Math.ceil(queued / Math.max(1, idle))
  const least = LEAST_TAIL_MS / pace.msPerTask
  const byTail = precutMs === undefined ? byShare : tail ? Math.min(byIdle, Math.max(least, byShare)) : byIdle
  return Math.max(1, Math.floor(Math.min(byTime, byBytes, byGrowth, byTail, cap)))
}
