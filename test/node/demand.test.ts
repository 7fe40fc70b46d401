import { describe, expect, it } from 'vitest'
import { demandOf } from '../../src/node/demand.ts'

const load = (open: number, chunks: number, pace?: number, concurrency = Infinity) => ({
  open,
  chunks,
  pace,
  concurrency,
})

describe('what a node could take', () => {
  it('is a task for each slot that has none', () => {
    expect(demandOf([], 0, 4, 1)).toEqual({ wanted: 4, free: 4, room: true })
    expect(demandOf([load(3, 3, 1000)], 0, 4, 1)).toMatchObject({ wanted: 1, free: 1 })
    expect(demandOf([load(9, 1, 1000, 2)], 0, 4, 1)).toMatchObject({ free: 2 })
    expect(demandOf([], 3, 4, 1)).toMatchObject({ wanted: 1, free: 1 })
  })

  it('is nothing more while slots are busy for an unknown time', () => {
    expect(demandOf([load(2, 2)], 0, 2, 1)).toEqual({ wanted: 0, free: 0, room: false })
    expect(demandOf([load(2, 2, 1000)], 0, 2, 1)).toMatchObject({ wanted: 0, free: 0 })
  })

  it('is one more for each slot when they are short, and several when they are tiny', () => {
    expect(demandOf([load(50, 2, 10)], 0, 2, 1)).toMatchObject({ wanted: 2, free: 0 })
    expect(demandOf([load(100, 4, 10)], 0, 2, 1)).toMatchObject({ wanted: 0 })
    expect(demandOf([load(4, 4, 1)], 0, 2, 1).wanted).toBeGreaterThan(4)
  })

  it('may be what was sent here for a place, unless it would wait for long', () => {
    expect(demandOf([load(150, 3, 10)], 0, 2, 1)).toEqual({ wanted: 0, free: 0, room: true })
    expect(demandOf([load(250, 3, 10)], 0, 2, 1)).toEqual({ wanted: 0, free: 0, room: false })
    expect(demandOf([load(100, 4, 10)], 0, 2, 1).room).toBe(false)
  })
})
