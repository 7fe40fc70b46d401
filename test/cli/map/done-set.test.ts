import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DoneSet } from '../../../src/cli/map/done-set.ts'

test('it is a set of numbers', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 60 })), (numbers) => {
      const done = new DoneSet()
      const model = new Set<number>()
      for (const n of numbers) {
        expect(done.add(n)).toBe(!model.has(n))
        model.add(n)
      }
      expect(done.size).toBe(model.size)
      for (let n = 0; n <= 61; n++) expect(done.has(n)).toBe(model.has(n))
      const again = new DoneSet(done.spans)
      expect(again.spans).toEqual(done.spans)
      expect(again.size).toBe(done.size)
      for (let i = 1; i < done.spans.length; i++) {
        const [first, count] = done.spans[i - 1] ?? [0, 0]
        expect(done.spans[i]?.[0]).toBeGreaterThan(first + count)
      }
    }),
  )
})

test('what is finished nearly in order takes few spans', () => {
  const done = new DoneSet()
  for (let n = 0; n < 100_000; n++) done.add(n ^ 7)
  expect(done.spans).toEqual([[0, 100_000]])
})

test('spans that overlap are refused', () => {
  expect(
    () =>
      new DoneSet([
        [0, 5],
        [4, 2],
      ]),
  ).toThrow(RangeError)
})
