import { describe, expect, it } from 'vitest'
import { isTail, remoteChunkSize, windowOf } from '../../src/core/window.ts'

const settings = { targetMs: 40, longTargetMs: 250, inlineBytes: 256 << 10, pubAckMs: 2000 }
const size = (
  msPerTask: number | undefined,
  queued: number,
  slots: number,
  { largest = 1e6, isOld = false, team = 1 } = {},
): number =>
  remoteChunkSize({ msPerTask, bytesPerTask: 0, largest, isOld }, queued, { slots, team }, 65_536, settings)

describe('a chunk for a cluster', () => {
  it('has one task while nothing is known of them, and grows eightfold at most', () => {
    expect(size(undefined, 1000, 2)).toBe(1)
    expect(size(0.01, 1e6, 2, { largest: 1 })).toBe(8)
  })

  it('has a quarter of a second of work while much waits', () => {
    expect(size(10, 2000, 2)).toBe(25)
    expect(size(1, 20_000, 2)).toBe(250)
  })

  it('has no more than 40 ms while what is known is from before', () => {
    expect(size(1, 20_000, 2, { isOld: true })).toBe(40)
    expect(size(1000, 20_000, 2, { isOld: true })).toBe(1)
  })

  it('has one task where that is long enough', () => {
    expect(size(1000, 2000, 2)).toBe(1)
  })

  it('shrinks as the backlog runs dry, to 20 ms of work', () => {
    const sizes: number[] = []
    for (let left = 100; left > 0; left -= sizes.at(-1) as number) sizes.push(size(10, left, 2))
    expect(sizes).toEqual([25, 18, 14, 10, 8, 6, 4, 4, 3, 2, 2, 2, 1, 1])
  })

  it('leaves every slot its share of a small job', () => {
    expect(size(10, 40, 20)).toBe(2)
    expect(size(10, 20, 20)).toBe(1)
  })

  it('is the rest of the job for a single node, which shares it among its slots', () => {
    expect(size(10, 40, 4, { team: 4 })).toBe(25)
    expect(size(10, 20, 4, { team: 4 })).toBe(20)
    expect(size(10, 2, 4, { team: 4 })).toBe(2)
    expect(size(10, 2, 1)).toBe(2)
  })

  it('shrinks more slowly where nodes can share it', () => {
    const sizes: number[] = []
    for (let left = 100; left > 0; left -= sizes.at(-1) as number) sizes.push(size(10, left, 4, { team: 2 }))
    expect(sizes).toEqual([25, 18, 14, 10, 8, 6, 4, 4, 4, 3, 2, 1, 1])
    expect(size(10, 8, 8, { team: 2 })).toBe(2)
  })

  it('is one of the last when less than a long one is left for each slot', () => {
    const last = (msPerTask: number | undefined, queued: number): boolean =>
      isTail(
        { msPerTask, bytesPerTask: 0, largest: 1e6, isOld: false },
        queued,
        { slots: 4, team: 2 },
        settings,
      )
    expect(last(10, 101)).toBe(false)
    expect(last(10, 100)).toBe(true)
    expect(last(undefined, 1)).toBe(false)
  })

  it('has a few milliseconds of tiny tasks, however many slots would like some', () => {
    expect(size(0.001, 100_000, 2000)).toBe(3000)
    expect(size(0, 100_000, 2000)).toBe(65_536)
  })
})

describe('the chunks of a job that are out at the same time', () => {
  const window = (msPerTask: number | undefined, queued: number, slots: number, cap = 65_536): number =>
    windowOf(
      { msPerTask, bytesPerTask: 0, largest: 1e6, isOld: false },
      queued,
      { slots, team: 1 },
      cap,
      settings,
    )

  it('are a few more than slots while nothing is known of them, and when each is long', () => {
    expect(window(undefined, 1000, 2)).toBe(4)
    expect(window(1000, 1000, 2)).toBe(4)
    expect(window(1000, 1000, 100)).toBe(125)
    expect(window(1, 1e6, 100)).toBe(125)
  })

  it('are two for each slot when they are short: nodes have room for so many', () => {
    expect(window(10, 100, 2)).toBe(4)
    expect(window(10, 800, 100)).toBe(200)
  })

  it('are more when they are tiny', () => {
    expect(window(0.001, 1000, 2, 256)).toBe(8)
    expect(window(0.001, 1e6, 100, 256)).toBe(300)
  })

  it('are none without slots', () => {
    expect(window(10, 100, 0)).toBe(0)
  })
})
