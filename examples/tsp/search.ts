import { mulberry32 } from '../random.ts'
import { nearestNeighbourTour, type Problem } from './geometry.ts'
import { merge } from './merge.ts'
import { Repair } from './moves.ts'

/** The longest segment of a kick. */
const REACH = 30
/** Temperature at the start, as a part of the mean edge. Below 1 the search stays where it is, above 2 it forgets. */
const HEAT = 1.5
/** Cities that one search works on: enough for any local change, few enough to cool down within one search. */
const REGION = 1000

export interface Found {
  tour: Int32Array
  length: number
  kicks: number
}

export interface Budget {
  kicks: number
  /** Stop as soon as a tour is this short. */
  target?: number | undefined
  /** Stop at this moment (milliseconds since 1970). What was found then depends on the speed of the machine. */
  until?: number
}

/**
 * One search: kicks a tour at random places, repairs it, and accepts the result if it is shorter, or by a chance that
 * falls to zero during the search (simulated annealing over local optima). What it found is merged with the start,
 * so that the result is never longer, and better wherever one part of the tour got better.
 * The same problem, start, seed and budget give the same tour.
 */
export function search(p: Problem, start: Int32Array | undefined, seed: number, budget: Budget): Found {
  const n = p.x.length
  const target = budget.target ?? 0
  const random = mulberry32(seed)
  const repair = new Repair(p, start ?? nearestNeighbourTour(p, Math.floor(random() * n)))
  const { tour } = repair
  if (!start) {
    for (let city = 0; city < n; city++) repair.unsettle(city)
    repair.settle()
    tour.commit()
  }
  const first = tour.order.slice()
  let best = first
  let bestLength = repair.length
  let length = repair.length
  let kicks = 0
  const region = regionAround(p, Math.floor(random() * n))
  const heat = (HEAT * length) / n
  const reach = Math.min(REACH, Math.floor((n - 2) / 4))
  const segment = () => 1 + Math.floor(random() * reach)
  for (; reach > 0 && kicks < budget.kicks && bestLength > target; kicks++) {
    if (budget.until && kicks % 32 === 0 && Date.now() > budget.until) break
    const city = region[Math.floor(random() * region.length)] as number
    repair.kick(tour.place[city] as number, segment(), segment(), segment())
    repair.settle()
    const temperature = heat * (1 - kicks / budget.kicks)
    if (repair.length > length - temperature * Math.log(1 - random())) {
      tour.undo(0)
      repair.length = length
    } else {
      length = repair.length
      if (length < bestLength) {
        if (best === first) best = tour.order.slice()
        else best.set(tour.order)
        bestLength = length
      }
    }
    tour.commit()
  }
  const merged = merge(p, tour.order, first)
  if (merged.length < bestLength) return { ...merged, kicks }
  return { tour: best, length: bestLength, kicks }
}

/** The cities around one, found from neighbour to neighbour. */
function regionAround(p: Problem, centre: number): Int32Array {
  const n = p.x.length
  if (n <= REGION) return Int32Array.from({ length: n }, (_, i) => i)
  const found = new Set([centre])
  for (const city of found) {
    for (let i = city * p.k; i < city * p.k + p.k && found.size < REGION; i++) found.add(p.near[i] as number)
  }
  return Int32Array.from(found)
}
