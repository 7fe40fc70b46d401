/**
 * How much of a job leaves for a cluster at a time. The queue is shared, so whoever fills it makes others wait: a
 * client that keeps a window of a few chunks per slot gets a job of 50 tasks through behind one of 4,000 in 60 ms
 * instead of 2.5 s, and the large one ends no later (measured).
 */
import type { Pace } from './chunk-size.ts'
import type { LedgerSettings } from './ledger-state.ts'

/** Chunks for each slot, when they are short: the next ones are there before a slot idles. */
const SHORT_DEPTH = 3
/** At least as many, so that one or two slots of a fast computer do not wait for the network. */
const SHORT_LEAST = 8
/** The same when they have at least so much work, milliseconds: one runs and one waits, which is what nodes have room for. */
const DEPTH = 2
const DEPTH_MS = 5
/** Chunks grow when the backlog holds at least this many of them for every slot. */
const LONG_BACKLOG = 2
/** Chunks beyond one for each slot when they are long, as a part of the slots, and at least. */
const SPARE_PART = 1 / 4
const SPARE_LEAST = 2
/** A chunk is at most this many times larger than the one before: one fast task proves little. */
const GROWTH = 8
/** Least work of a chunk, milliseconds, even if slots get none for that: a chunk costs client, server and node some 4 ms. */
const LEAST_MS = 3
/** The same while every slot can have that much. */
const LEAST_SHARED_MS = 20

/** What nodes that satisfy a need offer, and what they have of us. */
export interface Demand {
  slots: number
  /** Slots without work, as far as heartbeats tell. */
  free: number
  /** Chunks on their way or running, by priority. */
  inFlight: Map<number, number>
}

/**
 * Most chunks of jobs like this one that are on their way or run at the same time.
 * @param queued tasks in its backlog
 * @param cap most tasks of a chunk
 */
export function windowOf(
  pace: Pace,
  queued: number,
  slots: number,
  cap: number,
  settings: LedgerSettings,
): number {
  if (slots === 0) return 0
  const least = slots + Math.max(SPARE_LEAST, Math.ceil(SPARE_PART * slots))
  const { targetMs } = settings
  if (pace.msPerTask === undefined || pace.msPerTask >= targetMs) return least
  const next = pace.msPerTask * remoteChunkSize(pace, queued, slots, cap, settings)
  if (next < DEPTH_MS) return Math.max(least, SHORT_LEAST, SHORT_DEPTH * slots)
  // The same work in fewer that are longer.
  return Math.max(least, Math.min(DEPTH * slots, Math.ceil((SHORT_DEPTH * slots * targetMs) / next)))
}

/**
 * Work that a chunk should have, milliseconds: more while there is plenty, unless each task is enough by itself, or
 * nobody knows how long tasks take now.
 */
function chunkMs(
  { msPerTask = 0, isOld }: Pace,
  queued: number,
  slots: number,
  { targetMs, longTargetMs }: LedgerSettings,
): number {
  if (isOld || msPerTask >= targetMs) return targetMs
  const share = (msPerTask * queued) / (LONG_BACKLOG * Math.max(1, slots))
  return Math.min(longTargetMs, Math.max(targetMs, share))
}

/** Chunks in flight that go before those of this priority, or beside them. */
export function ahead({ inFlight }: Demand, priority: number): number {
  let sum = 0
  for (const [other, chunks] of inFlight) if (other >= priority) sum += chunks
  return sum
}

/** Number of tasks for the next chunk, at least 1; see `chunkSize` in chunk-size.ts. */
export function remoteChunkSize(
  pace: Pace,
  queued: number,
  slots: number,
  cap: number,
  settings: LedgerSettings,
): number {
  if (pace.msPerTask === undefined) return 1
  const tasksIn = (ms: number): number => (pace.msPerTask ? ms / pace.msPerTask : cap)
  const target = chunkMs(pace, queued, slots, settings)
  const byTime = tasksIn(target)
  const byBytes = pace.bytesPerTask > 0 ? (0.9 * settings.inlineBytes) / pace.bytesPerTask : cap
  const byGrowth = Math.max(1, pace.largest * GROWTH)
  const share = queued / Math.max(1, slots)
  const byTail = Math.max(tasksIn(LEAST_MS), Math.min(tasksIn(LEAST_SHARED_MS), share), Math.ceil(share / 2))
  return Math.max(1, Math.floor(Math.min(byTime, byBytes, byGrowth, byTail, cap)))
}
