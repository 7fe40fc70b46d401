/** Cities in the plane, the distance that TSPLIB defines for them, and who is near whom. */

/** Everything that a search needs to know. Typed arrays, so that it travels to a slot as plain memory. */
export interface Problem {
  /** Coordinates, one per city. */
  x: Float64Array
  y: Float64Array
  /** The `k` nearest cities of city `c`, nearest first, at `near[c * k] … near[c * k + k - 1]`. */
  near: Int32Array
  k: number
}

/** TSPLIB's EUC_2D: the Euclidean distance rounded to the nearest integer (`nint(x) = (int)(x + 0.5)`). */
export function distance(p: Problem, a: number, b: number): number {
  const dx = (p.x[a] as number) - (p.x[b] as number)
  const dy = (p.y[a] as number) - (p.y[b] as number)
  return Math.floor(Math.sqrt(dx * dx + dy * dy) + 0.5)
}

/** Finds the `k` nearest neighbours of every city: O(n²), one second for 18,000 cities. */
export function problemOf(x: Float64Array, y: Float64Array, k = 8): Problem {
  const n = x.length
  k = Math.min(k, n - 1)
  const near = new Int32Array(n * k)
  const squares = new Float64Array(k)
  for (let a = 0; a < n; a++) {
    const base = a * k
    let size = 0
    for (let b = 0; b < n; b++) {
      if (b === a) continue
      const dx = (x[a] as number) - (x[b] as number)
      const dy = (y[a] as number) - (y[b] as number)
      const square = dx * dx + dy * dy
      if (size === k && square >= (squares[k - 1] as number)) continue
      // Insertion into the short sorted list.
      let at = size < k ? size++ : k - 1
      for (; at > 0 && (squares[at - 1] as number) > square; at--) {
        squares[at] = squares[at - 1] as number
        near[base + at] = near[base + at - 1] as number
      }
      squares[at] = square
      near[base + at] = b
    }
  }
  return { x, y, near, k }
}

/** Length of the closed tour, computed from nothing but the coordinates. */
export function tourLength(p: Problem, tour: Int32Array): number {
  let sum = 0
  for (let i = 0; i < tour.length; i++) {
    sum += distance(p, tour[i] as number, tour[(i + 1) % tour.length] as number)
  }
  return sum
}

/** Throws unless `tour` visits each of the `n` cities exactly once. */
export function verifyTour(tour: Int32Array, n: number): void {
  const seen = new Uint8Array(n)
  for (const city of tour) {
    if (!(city >= 0 && city < n)) throw new Error(`The tour names city ${city + 1}, but there are ${n}`)
    if (seen[city]) throw new Error(`The tour visits city ${city + 1} twice`)
    seen[city] = 1
  }
  if (tour.length !== n) throw new Error(`The tour visits ${tour.length} of ${n} cities`)
}

/** A start: from a city to the nearest one not yet visited, and so on. */
export function nearestNeighbourTour(p: Problem, start: number): Int32Array {
  const n = p.x.length
  const left = Int32Array.from({ length: n }, (_, i) => i)
  const tour = new Int32Array(n)
  let at = start
  for (let size = n, i = 0; ; i++) {
    tour[i] = left[at] as number
    left[at] = left[--size] as number
    if (size === 0) return tour
    let best = Number.POSITIVE_INFINITY
    at = 0
    for (let j = 0; j < size; j++) {
      const d = distance(p, tour[i] as number, left[j] as number)
      if (d < best) {
        best = d
        at = j
      }
    }
  }
}
