/** How many chunks a node should hold: what its slots can begin now, and a little that hides the way to the server. */
import { SHORT_CHUNK_MS } from '../nats/settings.ts'

/** Work that may wait at the node beside what runs, per slot and beside the round trip, milliseconds. */
const AHEAD_MS = 20
/** Most chunks that are held ahead, per slot. */
const AHEAD_CHUNKS = 4
/** A chunk that a client has sent here may wait for so much other work, per slot, milliseconds: through the queue it waits as long. */
const BEFORE_MS = 1000

/** The chunks of one job. */
export interface Load {
  /** Their tasks without outcome. */
  open: number
  chunks: number
  /** Milliseconds per task, once known. */
  pace: number | undefined
  /** Most tasks of the job at the same time. */
  concurrency: number
}

export interface Demand {
  /** Chunks that it may pull beside those that it holds. */
  wanted: number
  /** Slots without work. */
  free: number
  /** Whether one that was not pulled but sent here is welcome. */
  room: boolean
}

/**
 * Tasks of unknown pace are taken for long ones. Of long ones a node holds no more than its slots run: whatever
 * waits here could run elsewhere.
 *
 * @param loading tasks whose code or arguments are on their way
 * @param roundTripMs to the server and back
 */
export function demandOf(loads: Load[], loading: number, slots: number, roundTripMs: number): Demand {
  let busy = loading
  let ms = 0
  let chunks = 0
  let known = loading === 0
  for (const { open, chunks: count, pace, concurrency } of loads) {
    busy += Math.min(open, concurrency)
    chunks += count
    if (pace === undefined) known = false
    else ms += open * pace
  }
  const free = Math.max(0, slots - busy)
  if (!known || chunks === 0) return { wanted: free, free, room: free > 0 }
  const missing = (AHEAD_MS + 2 * roundTripMs) * slots - ms
  const ahead = Math.min(AHEAD_CHUNKS * slots, Math.ceil(missing / Math.max(ms / chunks, 0.01)))
  const most = slots + AHEAD_CHUNKS * slots - chunks
  const spare = ms / chunks <= SHORT_CHUNK_MS ? 2 * slots - chunks : 0
  const wanted = Math.max(free, Math.min(ahead, most), spare, 0)
  return { wanted, free, room: wanted > 0 || (chunks < 2 * slots && ms <= BEFORE_MS * slots) }
}
