import { distance, type Problem } from './geometry.ts'
import { Queue } from './queue.ts'
import { Tour } from './tour.ts'

/** How many ways to go on a Lin–Kernighan move tries at each depth. Deeper or wider was slower for the same gap. */
const BREADTH = [3, 2, 1]
const WIDEST = 3
/** The longest segment that an Or-opt move carries elsewhere. */
const CARRY = 3

/**
 * Repairs a tour where it was changed: Lin–Kernighan moves (sequences of 2-opt moves) and Or-opt moves (a short
 * segment goes elsewhere), tried only towards near neighbours and only around cities that are not settled
 * (the "don't-look bits": a city leaves the queue until one of its edges changes).
 */
export class Repair {
  readonly tour: Tour
  length = 0
  readonly #p: Problem
  readonly #unsettled: Queue
  /** Per depth, the best ways to go on: new neighbour, its old neighbour, gain so far. */
  readonly #t3 = new Int32Array(BREADTH.length * WIDEST)
  readonly #t4 = new Int32Array(BREADTH.length * WIDEST)
  readonly #gain = new Float64Array(BREADTH.length * WIDEST)
  readonly #ends = new Int32Array(8)

  constructor(p: Problem, start: Int32Array) {
    this.#p = p
    this.tour = new Tour(start)
    this.#unsettled = new Queue(start.length)
    for (let i = 0; i < start.length; i++) {
      this.length += this.#d(start[i] as number, start[(i + 1) % start.length] as number)
    }
  }

  #d(a: number, b: number): number {
    return distance(this.#p, a, b)
  }

  /** Something changed at this city. */
  unsettle(city: number): void {
    this.#unsettled.add(city)
  }

  /** Makes every move that shortens the tour, until none is left around the unsettled cities. */
  settle(): void {
    for (let city = this.#unsettled.take(); city >= 0; city = this.#unsettled.take()) {
      while (
        this.#linKernighan(city, this.tour.next(city)) ||
        this.#linKernighan(city, this.tour.prev(city)) ||
        this.#carry(city)
      ) {}
    }
  }

  /**
   * Double bridge in one place: of three neighbouring segments of `a`, `b` and `c` cities after place `at`,
   * A B C becomes C B A. No sequence of 2-opt moves that shorten the tour leads straight back.
   */
  kick(at: number, a: number, b: number, c: number): void {
    const { order, n } = this.tour
    const ends = this.#ends
    for (let i = 0, place = at; i < 8; i += 2) {
      ends[i] = order[place % n] as number
      ends[i + 1] = order[(place + 1) % n] as number
      place += i === 0 ? a : i === 2 ? b : c
    }
    this.tour.reversePlaces(at + 1, a + b + c)
    this.tour.reversePlaces(at + 1, c)
    this.tour.reversePlaces(at + 1 + c, b)
    this.tour.reversePlaces(at + 1 + c + b, a)
    const [p = 0, a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, q = 0] = ends
    this.length += this.#d(p, c0) + this.#d(c1, b0) + this.#d(b1, a0) + this.#d(a1, q)
    this.length -= this.#d(p, a0) + this.#d(a1, b0) + this.#d(b1, c0) + this.#d(c1, q)
    for (let i = 0; i < 8; i++) this.unsettle(ends[i] as number)
  }

  #linKernighan(t1: number, t2: number): boolean {
    const gain = this.#step(0, this.#d(t1, t2), t1, t2, 0)
    if (gain === 0) return false
    this.length -= gain
    this.unsettle(t1)
    this.unsettle(t2)
    return true
  }

  /**
   * The edge (t1, t2) is open and `gain` was won so far. Adds an edge (t2, t3), drops (t3, t4), and so on; returns
   * by how much the tour is shorter than at the beginning, or 0 where it is not by more than `atLeast`.
   */
  #step(depth: number, gain: number, t1: number, t2: number, atLeast: number): number {
    const { tour } = this
    const base = depth * WIDEST
    const size = this.#candidates(depth, gain, t1, t2)
    const deepest = depth + 1 === BREADTH.length
    for (let i = base; i < base + size; i++) {
      const t3 = this.#t3[i] as number
      const t4 = this.#t4[i] as number
      const open = this.#gain[i] as number
      const closed = open - this.#d(t4, t1)
      if (deepest && closed <= atLeast) continue
      const mark = tour.mark
      // t1 t2 … t4 t3 becomes t1 t4 … t2 t3.
      if (tour.next(t1) === t2) tour.reverse(t2, t4)
      else tour.reverse(t4, t2)
      let won = deepest ? 0 : this.#step(depth + 1, open, t1, t4, Math.max(closed, atLeast))
      if (won === 0 && closed > atLeast) won = closed
      if (won > 0) {
        this.unsettle(t3)
        this.unsettle(t4)
        return won
      }
      tour.undo(mark)
    }
    return 0
  }

  /** Collects the ways to go on from t2 that keep a gain, the most promising first; returns how many. */
  #candidates(depth: number, gain: number, t1: number, t2: number): number {
    const { near, k } = this.#p
    const base = depth * WIDEST
    const breadth = BREADTH[depth] as number
    const forward = this.tour.next(t1) === t2
    let size = 0
    for (let i = t2 * k; i < t2 * k + k; i++) {
      const t3 = near[i] as number
      const rest = gain - this.#d(t2, t3)
      if (rest <= 0) break
      const t4 = forward ? this.tour.prev(t3) : this.tour.next(t3)
      if (t3 === t1 || t4 === t2) continue
      const open = rest + this.#d(t3, t4)
      if (size < breadth) size++
      else if (open <= (this.#gain[base + size - 1] as number)) continue
      let at = base + size - 1
      for (; at > base && (this.#gain[at - 1] as number) < open; at--) {
        this.#gain[at] = this.#gain[at - 1] as number
        this.#t3[at] = this.#t3[at - 1] as number
        this.#t4[at] = this.#t4[at - 1] as number
      }
      this.#gain[at] = open
      this.#t3[at] = t3
      this.#t4[at] = t4
    }
    return size
  }

  /** Or-opt: carries the segment `city … last`, up to `CARRY` cities, to an edge at a near neighbour of `city`. */
  #carry(city: number): boolean {
    const { tour } = this
    for (let side = 0; side < 2; side++) {
      const p = side === 0 ? tour.prev(city) : tour.next(city)
      for (let size = 1, last = city; size <= CARRY; size++) {
        if (size > 1) last = side === 0 ? tour.next(last) : tour.prev(last)
        const q = side === 0 ? tour.next(last) : tour.prev(last)
        if (q === p || last === p) break
        const saved = this.#d(p, city) + this.#d(last, q) - this.#d(p, q)
        if (saved > 0 && this.#insert(city, last, size, side, p, q, saved)) return true
      }
    }
    return false
  }

  #insert(
    city: number,
    last: number,
    size: number,
    side: number,
    p: number,
    q: number,
    saved: number,
  ): boolean {
    const { tour } = this
    const { near, k } = this.#p
    for (let i = city * k; i < city * k + k; i++) {
      const c = near[i] as number
      const budget = saved - this.#d(city, c)
      if (budget <= 0) break
      // Places from `city` on, in the direction of the segment: inside it when fewer than its size.
      const ahead = ((tour.place[c] as number) - (tour.place[city] as number)) * (side === 0 ? 1 : -1)
      if ((ahead + tour.n) % tour.n < size) continue
      for (let way = 0; way < 2; way++) {
        const e = way === 0 ? tour.next(c) : tour.prev(c)
        if (e === city || e === last) continue
        const gain = budget - this.#d(last, e) + this.#d(c, e)
        if (gain <= 0) continue
        // p [city … last] q … x y, where x y is the edge c e as it comes on this walk.
        const straight = way === side
        const x = straight ? c : e
        tour.turn(city, x, p) // p [x … q] [last … city] y
        tour.turn(x, q, p) // p q … x [last … city] y
        if (straight) tour.turn(last, city, x) // p q … x [city … last] y
        this.length -= gain
        for (const changed of [p, q, city, last, c, e]) this.unsettle(changed)
        return true
      }
    }
    return false
  }
}
