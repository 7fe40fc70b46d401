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
/** Chunks beyond one for each slot when they are long, as a part of the slots, and at least. */
const SPARE_PART = 1 / 4
const SPARE_LEAST = 2
/** A chunk is at most this many times larger than the one before: one fast task proves little. */
const GROWTH = 8
/** Least work of a chunk, milliseconds, even if slots get none for that: a chunk costs client, server and node some 4 ms. */
const LEAST_MS = 3
/** The same for each slot that shares it, while each can have that much. */
const LEAST_SHARED_MS = 20

/** What nodes that satisfy a need offer, and what they have of us. */
export interface Demand {
  slots: number
  /** Slots without work, as far as heartbeats tell. */
  free: number
  /** Slots of the smallest node: so many can share a chunk. */
  team: number
  /** Chunks on their way or running, by priority. */
  inFlight: Map<number, number>
}

/** As much of it as sizes depend on. */
type Takers = Pick<Demand, 'slots' | 'team'>

/**
 * Most chunks of jobs like this one that are on their way or run at the same time.
 * @param queued tasks in its backlog
 * @param cap most tasks of a chunk
 */
export function windowOf(
  pace: Pace,
  queued: number,
  takers: Takers,
  cap: number,
  settings: LedgerSettings,
): number {
  const { slots } = takers
  if (slots === 0) return 0
  const least = slots + Math.max(SPARE_LEAST, Math.ceil(SPARE_PART * slots))
  const { targetMs } = settings
  if (pace.msPerTask === undefined || pace.msPerTask >= targetMs) return least
  const next = pace.msPerTask * remoteChunkSize(pace, queued, takers, cap, settings)
  if (next < DEPTH_MS) return Math.max(least, SHORT_LEAST, SHORT_DEPTH * slots)
  // The same work in fewer that are longer.
  return Math.max(least, Math.min(DEPTH * slots, Math.ceil((SHORT_DEPTH * slots * targetMs) / next)))
}

/** Whether the backlog is less than one long chunk for each slot. */
export function isTail(
  { msPerTask }: Pace,
  queued: number,
  { slots }: Takers,
  { longTargetMs }: LedgerSettings,
): boolean {
  return msPerTask !== undefined && msPerTask * queued <= longTargetMs * slots
}

/** Chunks in flight that go before those of this priority, or beside them. */
export function ahead({ inFlight }: Demand, priority: number): number {
  let sum = 0
  for (const [other, chunks] of inFlight) if (other >= priority) sum += chunks
  return sum
}

/**
 * Number of tasks for the next chunk, at least 1; see `chunkSize` in chunk-size.ts. As the backlog runs dry nodes get
 * less and less (guided self-scheduling), and each divides that among its slots, of which we need not hear; a single
 * node gets all.
 */
export function remoteChunkSize(
  pace: Pace,
  queued: number,
  { slots, team }: Takers,
  cap: number,
  { targetMs, longTargetMs, inlineBytes }: LedgerSettings,
): number {
  const { msPerTask, bytesPerTask, largest, isOld } = pace
  if (msPerTask === undefined) return 1
  const tasksIn = (ms: number): number => (msPerTask > 0 ? ms / msPerTask : cap)
  const share = queued / Math.max(1, slots / team)
  const next = slots <= team ? share : share / 2
  // Unless each task is enough by itself, or nobody knows how long tasks take now.
  const long = isOld || msPerTask >= targetMs ? targetMs : longTargetMs
  const byTime = tasksIn(Math.min(long, Math.max(targetMs, msPerTask * next)))
  const byBytes = bytesPerTask > 0 ? (0.9 * inlineBytes) / bytesPerTask : cap
  const byGrowth = Math.max(1, largest * GROWTH)
  const byTail = Math.max(
    tasksIn(LEAST_MS),
    Math.min(tasksIn(LEAST_SHARED_MS * team), share),
    Math.ceil(next),
  )
  return Math.max(1, Math.floor(Math.min(byTime, byBytes, byGrowth, byTail, cap)))
}
