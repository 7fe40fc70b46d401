import type { Cluster } from 'dicomp'
import { type Problem, tourLength, verifyTour } from './geometry.ts'
import { merge } from './merge.ts'
import { type Found, search } from './search.ts'

/** Kicks of one search: about half a second on 1,000 cities. */
const KICKS = 5000

export interface SolveOptions {
  seconds: number
  seed: number
  /** Known optimal length: stop when it is reached. */
  optimum?: number | undefined
  /** Stop early, with what there is. */
  signal?: AbortSignal
}

/** How far it is, after every search. */
export interface Progress {
  tour: Int32Array
  length: number
  searches: number
  improvements: number
  kicks: number
  /** Since the beginning. */
  seconds: number
}

/**
 * Runs searches on every slot, one after another, each from the best tour of that moment and with a seed of its
 * own, and merges what they find into the best tour. Yields after every search.
 */
export async function* solve(p: Problem, cluster: Cluster, options: SolveOptions): AsyncGenerator<Progress> {
  const { seconds, seed, optimum, signal } = options
  const begin = Date.now()
  const end = begin + seconds * 1000
  let best: { tour: Int32Array; length: number } | undefined
  let searches = 0
  let improvements = 0
  let kicks = 0

  // The problem is captured: it goes to each slot once. A task is only a start and a seed.
  const run = cluster.distribute(
    (task: { start: Int32Array | undefined; seed: number }): Found =>
      search(p, task.start, task.seed, { kicks: KICKS, target: optimum, until: end }),
    { name: 'search' },
  )
  // Read lazily: the next task is made when a slot is free, from the best tour of that moment.
  function* tasks() {
    for (let i = 0; i === 0 || (Date.now() < end && !signal?.aborted); i++) {
      yield { start: best?.tour, seed: seed * 1_000_003 + i }
    }
  }
  for await (const { value: found } of run.stream(tasks(), { bufferSize: cluster.slots })) {
    searches++
    kicks += found.kicks
    const before = best
    const merged = best ? merge(p, found.tour, best.tour) : found
    for (const { tour, length } of [found, merged])
      if (length < (best?.length ?? Number.POSITIVE_INFINITY)) best = { tour, length }
    if (!best) continue
    if (best !== before) {
      improvements++
      check(p, best.tour, best.length)
    }
    yield { ...best, searches, improvements, kicks, seconds: (Date.now() - begin) / 1000 }
    if (optimum !== undefined && best.length <= optimum) return
  }
}

/** Does not believe a search: visits every city once, and the length is computed again from the coordinates. */
function check(p: Problem, tour: Int32Array, length: number): void {
  verifyTour(tour, p.x.length)
  const real = tourLength(p, tour)
  if (real !== length) throw new Error(`A search reported a length of ${length}, but its tour has ${real}`)
}
