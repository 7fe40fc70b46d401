import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearestNeighbourTour, problemOf, tourLength, verifyTour } from '../../examples/tsp/geometry.ts'
import { merge } from '../../examples/tsp/merge.ts'
import { search } from '../../examples/tsp/search.ts'
import { Tour } from '../../examples/tsp/tour.ts'
import { OPTIMA, readTsplib } from '../../examples/tsp/tsplib.ts'

const carried = (name: string) => {
  const { x, y } = readTsplib(`examples/tsp/data/${name}.tsp`)
  return problemOf(x, y)
}

/** Cities on a small grid, so that equal distances and equal places happen. */
const cities = (least: number, most: number) =>
  fc
    .array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 })), {
      minLength: least,
      maxLength: most,
    })
    .map((points) =>
      problemOf(
        Float64Array.from(points, ([x]) => x),
        Float64Array.from(points, ([, y]) => y),
      ),
    )

describe('search', () => {
  it('gives a valid tour of the length that it says, not longer than its start', () => {
    fc.assert(
      fc.property(cities(1, 60), fc.integer(), (p, seed) => {
        const n = p.x.length
        const start = nearestNeighbourTour(p, 0)
        const found = search(p, start, seed, { kicks: 50 })
        verifyTour(found.tour, n)
        expect(tourLength(p, found.tour)).toBe(found.length)
        expect(found.length).toBeLessThanOrEqual(tourLength(p, start))
      }),
      { numRuns: 200 },
    )
  })

  it('finds the best tour of seven cities', () => {
    fc.assert(
      fc.property(cities(7, 7), fc.integer(), (p, seed) => {
        expect(search(p, undefined, seed, { kicks: 300 }).length).toBe(shortest(p))
      }),
      { numRuns: 30 },
    )
  })

  it('is the same for the same seed and budget, another for another seed', () => {
    const p = carried('pr1002')
    const [one, again, other] = [7, 7, 8].map((seed) => search(p, undefined, seed, { kicks: 300 }))
    expect(again).toEqual(one)
    expect(other?.tour).not.toEqual(one?.tour)
  })

  it.each(['berlin52', 'kroA100', 'ch150', 'a280'])('finds the published optimum of %s', (name) => {
    const p = carried(name)
    const target = OPTIMA[name] as number
    let best: Int32Array | undefined
    for (let seed = 1; seed <= 20; seed++) {
      const found = search(p, best, seed, { kicks: 2000, target })
      best = found.tour
      if (found.length <= target) break
    }
    expect(tourLength(p, best as Int32Array)).toBe(target)
  })

  it('stops at the moment that it was given', () => {
    expect(search(carried('berlin52'), undefined, 1, { kicks: 1e9, until: Date.now() - 1 }).kicks).toBe(0)
  })
})

describe('merge', () => {
  it('is a valid tour and never longer than the first', () => {
    fc.assert(
      fc.property(cities(2, 60), fc.integer(), fc.integer(), (p, seed, other) => {
        const one = search(p, undefined, seed, { kicks: 3 }).tour
        const two = search(p, undefined, other, { kicks: 3 }).tour
        const merged = merge(p, one, two)
        verifyTour(merged.tour, p.x.length)
        expect(merged.length).toBe(tourLength(p, merged.tour))
        expect(merged.length).toBeLessThanOrEqual(tourLength(p, one))
      }),
      { numRuns: 200 },
    )
  })

  it('takes the better half of each of two tours', () => {
    // A ring of 40 cities, spoiled in two places.
    const angle = (i: number) => (2 * Math.PI * i) / 40
    const p = problemOf(
      Float64Array.from({ length: 40 }, (_, i) => 1000 * Math.cos(angle(i))),
      Float64Array.from({ length: 40 }, (_, i) => 1000 * Math.sin(angle(i))),
    )
    const ring = Int32Array.from({ length: 40 }, (_, i) => i)
    const spoiled = (i: number) => {
      const tour = ring.slice()
      tour.set([i + 1, i], i)
      return tour
    }
    const [one, two] = [spoiled(10), spoiled(30)]
    const backwards = two.slice().reverse()
    expect(merge(p, one, two).length).toBe(tourLength(p, ring))
    expect(merge(p, one, backwards).length).toBe(tourLength(p, ring))
  })
})

describe('Tour', () => {
  it('undo goes back to the mark', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 40 }),
        fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 }),
        (n, turns) => {
          const tour = new Tour(Int32Array.from({ length: n }, (_, i) => (i + 3) % n))
          const before = tour.order.slice()
          const mark = tour.mark
          for (const [from, to] of turns) tour.reverse(from % n, to % n)
          verifyTour(tour.order, n)
          for (let i = 0; i < n; i++) expect(tour.order[tour.place[i] as number]).toBe(i)
          tour.undo(mark)
          expect(tour.order).toEqual(before)
        },
      ),
    )
  })

  it('verifyTour sees a city that is visited twice, or not at all', () => {
    expect(() => verifyTour(Int32Array.of(0, 1, 1), 3)).toThrow('visits city 2 twice')
    expect(() => verifyTour(Int32Array.of(0, 1), 3)).toThrow('2 of 3 cities')
    expect(() => verifyTour(Int32Array.of(0, 1, 3), 3)).toThrow('names city 4')
  })
})

/** Every tour from city 0, one after another. */
function shortest(p: ReturnType<typeof problemOf>): number {
  const n = p.x.length
  let best = Number.POSITIVE_INFINITY
  const visit = (tour: number[]) => {
    if (tour.length === n) best = Math.min(best, tourLength(p, Int32Array.from(tour)))
    for (let city = 1; city < n; city++) if (!tour.includes(city)) visit([...tour, city])
  }
  visit([0])
  return best
}
