import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Ledger } from '../../src/core/ledger.ts'
import type { LedgerAction, LedgerEvent, LedgerJobSpec } from '../../src/core/ledger-state.ts'
import { LedgerWorld } from './ledger-world.ts'

/** A ledger with one job, and what it says, for tests that play the cluster by hand. */
class Hand {
  readonly ledger = new Ledger({
    targetMs: 25,
    longTargetMs: 100,
    inlineBytes: 1000,
    pubAckMs: 2000,
  })
  now = 0
  said: LedgerAction[] = []
  /** Chunks go straight to this node. */
  direct: string | undefined
  /** The queue acknowledges what is published. */
  acks = true

  constructor(slots = 2, spec: Partial<LedgerJobSpec> = {}) {
    this.say({ type: 'capacity', need: 'any', slots, free: slots, team: 1 })
    this.job(1, spec)
  }

  job(id: number, spec: Partial<LedgerJobSpec> = {}): void {
    const full = { id, need: 'any', priority: 0, cap: 1000, solo: false, concurrency: Infinity, ...spec }
    this.say({ type: 'job', spec: full })
    this.say({ type: 'ready', job: id })
  }

  /** Publishes what it is told to. */
  say(event: LedgerEvent, ms = 0): LedgerAction[] {
    this.now += ms
    const actions = this.ledger.handle(event, this.now)
    this.said.push(...actions)
    for (const action of actions) {
      if (action.type !== 'publish') continue
      const node = this.direct
      this.say({ type: 'sent', chunk: action.chunk.id, bytes: 8 * action.chunk.count, node })
      if (node === undefined && this.acks) this.say({ type: 'acked', chunk: action.chunk.id })
    }
    return actions
  }

  /** So much time passes, milliseconds. */
  wait(ms: number): void {
    for (let left = ms; left > 0; left -= 250) this.say({ type: 'tick' }, Math.min(250, left))
  }

  add(start: number, end: number, attempt = 1, job = 1): void {
    this.say({ type: 'tasks', job, start, end, attempt })
  }

  /** Chunks that were published since this was asked the last time: [id, start, count, attempt]. */
  published(): number[][] {
    const said = this.said.splice(0)
    return said.flatMap((action) => {
      if (action.type !== 'publish') return []
      const { id, start, count, attempt } = action.chunk
      return [[id, start, count, attempt]]
    })
  }

  report(chunk: number, start: number, count: number, more: Partial<LedgerEvent> = {}): LedgerAction[] {
    const rest = { node: 'a', job: 1, seq: 0, last: true, ms: 100 * count, bytes: 8 * count, ...more }
    return this.say({ type: 'report', chunk, start, count, ...rest } as LedgerEvent)
  }
}

const delivered = (actions: LedgerAction[]): unknown[] =>
  actions.flatMap((action) =>
    action.type === 'deliver' ? [[action.start, action.count, action.ignore]] : [],
  )

describe('the ledger', () => {
  it('publishes nothing without nodes, and a few chunks of one task to begin with', () => {
    const hand = new Hand(0)
    hand.add(0, 100)
    expect(hand.published()).toEqual([])
    hand.say({ type: 'capacity', need: 'any', slots: 2, free: 2, team: 1 })
    expect(hand.published()).toEqual([
      [1, 0, 1, 1],
      [2, 1, 1, 1],
      [3, 2, 1, 1],
      [4, 3, 1, 1],
    ])
  })

  it('makes chunks of short tasks larger, up to the target, and of long ones never', () => {
    const short = new Hand(8)
    short.add(0, 100_000)
    short.published()
    short.report(1, 0, 1, { ms: 0.1, bytes: 0.1 })
    expect(
      short
        .published()
        .map(([, , count]) => count)
        .slice(0, 3),
    ).toEqual([8, 64, 112])
    const long = new Hand()
    long.add(0, 1000)
    long.published()
    long.report(1, 0, 1, { ms: 40 })
    expect(long.published()).toEqual([[5, 4, 1, 1]])
  })

  it('begins with short chunks after it had nothing to do, and believes at once that tasks are slower now', () => {
    const hand = new Hand()
    const counts = (): number[] => hand.published().map(([, , count]) => count as number)
    hand.add(0, 1)
    hand.published()
    hand.report(1, 0, 1, { ms: 1 })
    hand.add(1, 9)
    hand.published()
    for (let chunk = 2; chunk <= 9; chunk++) hand.report(chunk, chunk - 1, 1, { ms: 1 })
    hand.add(9, 5009)
    const [id, start] = hand.published().at(-1) as [number, number]
    expect(Math.max(...counts(), 25)).toBe(25)
    hand.report(id, start, 25, { ms: 250 })
    expect(Math.max(...counts())).toBe(10)
  })

  it('does not learn from what was lost how long tasks take', () => {
    const hand = new Hand()
    hand.add(0, 100)
    hand.published()
    hand.report(1, 0, 1, { ms: undefined })
    expect(hand.published()).toEqual([[5, 4, 1, 1]])
  })

  it('keeps messages below their limit', () => {
    const hand = new Hand()
    hand.add(0, 10_000)
    hand.published()
    hand.report(1, 0, 1, { ms: 0.001, bytes: 100 })
    for (const [, , count] of hand.published()) expect(count).toBeLessThanOrEqual(9)
  })

  it('sends one task at a time, and no more than asked for, where the number is limited', () => {
    const hand = new Hand(8, { concurrency: 3 })
    hand.add(0, 100)
    expect(hand.published().map(([, , count]) => count)).toEqual([1, 1, 1])
    hand.report(1, 0, 1, { ms: 0.01 })
    expect(hand.published()).toHaveLength(1)
  })

  it('delivers a result once, however often it comes', () => {
    const hand = new Hand()
    hand.add(0, 4)
    expect(delivered(hand.report(1, 0, 1))).toEqual([[0, 1, []]])
    expect(delivered(hand.report(1, 0, 1))).toEqual([])
    expect(delivered(hand.report(1, 0, 1, { seq: 1 }))).toEqual([])
    expect(delivered(hand.report(1, 0, 1, { node: 'b' }))).toEqual([])
  })

  it('waits for the reports before the last one, then puts back what was not begun', () => {
    const hand = new Hand(8, { cap: 1000 })
    hand.add(0, 1000)
    hand.report(1, 0, 1, { ms: 0.5 })
    const [chunk, start] = hand.published().find(([, , count]) => (count as number) >= 8) as number[]
    hand.say({ type: 'held', node: 'a', chunks: [[1, chunk as number]] })
    const at = start as number
    expect(delivered(hand.report(chunk as number, at + 4, 2, { seq: 1, ms: 1 }))).toEqual([[at + 4, 2, []]])
    expect(hand.ledger.runs('a', chunk as number, at + 6)).toBe(true)
    expect(delivered(hand.report(chunk as number, at, 4, { seq: 0, last: false, ms: 2 }))).toEqual([
      [at, 4, []],
    ])
    expect(hand.ledger.runs('a', chunk as number, at + 6)).toBe(false)
    expect(hand.published()[0]?.slice(1)).toEqual([at + 6, expect.any(Number), 1])
  })

  it('gives tasks of a lost node to others at once, for their next attempt, and takes a late result', () => {
    const hand = new Hand()
    hand.add(0, 2)
    hand.published()
    hand.say({ type: 'held', node: 'a', chunks: [[1, 1]] })
    hand.say({ type: 'nodeLost', node: 'a' })
    expect(hand.published()).toEqual([[3, 0, 1, 2]])
    hand.say({ type: 'held', node: 'b', chunks: [[1, 3]] })
    const late = hand.report(1, 0, 1)
    expect(delivered(late)).toEqual([[0, 1, []]])
    expect(late).toContainEqual({ type: 'drop', node: 'b', job: 1, chunk: 3 })
  })

  it('does not take the late result of an attempt that had its outcome', () => {
    const hand = new Hand()
    hand.add(0, 1)
    hand.say({ type: 'held', node: 'a', chunks: [[1, 1]] })
    hand.say({ type: 'nodeLost', node: 'a' })
    expect(delivered(hand.report(2, 0, 1, { node: 'b' }))).toEqual([[0, 1, []]])
    hand.add(0, 1, 3)
    expect(delivered(hand.report(1, 0, 1))).toEqual([])
    expect(delivered(hand.report(3, 0, 1, { node: 'b' }))).toEqual([[0, 1, []]])
  })

  it('tells a second holder to drop the chunk, and everybody what is not ours', () => {
    const hand = new Hand()
    hand.add(0, 1)
    hand.say({ type: 'held', node: 'a', chunks: [[1, 1]] })
    expect(hand.say({ type: 'held', node: 'b', chunks: [[1, 1]] })).toEqual([
      { type: 'drop', node: 'b', job: 1, chunk: 1 },
    ])
    expect(hand.say({ type: 'holds', node: 'c', chunks: [[9, 77]] })).toEqual([
      { type: 'drop', node: 'c', job: 9, chunk: 77 },
    ])
  })

  it('puts back what two heartbeats of its node do not have, and adopts what one has', () => {
    const hand = new Hand()
    hand.add(0, 1)
    hand.published()
    hand.say({ type: 'holds', node: 'a', chunks: [[1, 1]] })
    expect(hand.ledger.runs('a', 1, 0)).toBe(true)
    hand.say({ type: 'holds', node: 'a', chunks: [] })
    hand.say({ type: 'holds', node: 'a', chunks: [[1, 1]] })
    hand.say({ type: 'holds', node: 'a', chunks: [] })
    expect(hand.published()).toEqual([])
    hand.say({ type: 'holds', node: 'a', chunks: [] })
    expect(hand.published()).toEqual([[2, 0, 1, 2]])
  })

  it('publishes again what was not acknowledged, what nobody takes, and everything for a new server', () => {
    const hand = new Hand()
    const again = (): unknown[] => hand.said.splice(0).filter(({ type }) => type === 'republish')
    hand.add(0, 1)
    hand.wait(2900)
    expect(again()).toEqual([])
    hand.say({ type: 'capacity', need: 'any', slots: 2, free: 0, team: 1 })
    hand.wait(29_000)
    expect(again()).toEqual([])
    hand.say({ type: 'capacity', need: 'any', slots: 2, free: 1, team: 1 })
    hand.say({ type: 'tick' })
    expect(again()).toHaveLength(1)
    hand.wait(1900)
    expect(again()).toHaveLength(0)
    hand.wait(2200)
    expect(again()).toHaveLength(1)
    hand.say({ type: 'disconnected' })
    hand.wait(60_000)
    expect(again()).toHaveLength(0)
    hand.say({ type: 'reconnected', fresh: true })
    expect(again()).toHaveLength(1)
  })

  it('publishes nothing again because it was stopped itself: the acknowledgement is still to be read', () => {
    const hand = new Hand()
    const again = (): number => hand.said.splice(0).filter(({ type }) => type === 'republish').length
    hand.acks = false
    hand.add(0, 1)
    hand.say({ type: 'tick' })
    hand.say({ type: 'tick' }, 5000)
    expect(again()).toBe(0)
    hand.say({ type: 'acked', chunk: 1 })
    hand.say({ type: 'tick' }, 250)
    expect(again()).toBe(0)
    // It is busy all the time.
    for (let tick = 0; tick < 3; tick++) hand.say({ type: 'tick' }, 5000)
    expect(again()).toBeGreaterThan(0)
  })

  it('publishes again what a node may have taken that was lost before it said so', () => {
    const hand = new Hand()
    const again = (): number => hand.said.splice(0).filter(({ type }) => type === 'republish').length
    hand.add(0, 1)
    hand.say({ type: 'capacity', need: 'any', slots: 2, free: 0, team: 1 })
    hand.wait(3100)
    expect(again()).toBe(0)
    hand.say({ type: 'nodeLost', node: 'a' })
    hand.say({ type: 'tick' })
    expect(again()).toBe(1)
  })

  describe('of a chunk that was sent straight to a node', () => {
    const sent = (): { hand: Hand; again: () => number } => {
      const hand = new Hand()
      hand.direct = 'a'
      hand.add(0, 1)
      return {
        hand,
        again: () => hand.said.splice(0).filter(({ type }) => type === 'republish').length,
      }
    }

    it('takes it to be there: what the node says of it counts, and it is told when nobody wants it', () => {
      const { hand, again } = sent()
      expect(hand.ledger.runs('a', 1, 0)).toBe(true)
      expect(hand.ledger.outlook().get('any')).toEqual({ waiting: 0, held: 1, refused: false })
      hand.wait(60_000)
      expect(again()).toBe(0)
      expect(hand.say({ type: 'drop', job: 1, start: 0, end: 1 })).toContainEqual({
        type: 'drop',
        node: 'a',
        job: 1,
        chunk: 1,
      })
    })

    it('keeps the message until the node has said that it has it', () => {
      const { hand } = sent()
      const taken = (): number => hand.said.splice(0).filter(({ type }) => type === 'taken').length
      expect(taken()).toBe(0)
      hand.say({ type: 'holds', node: 'a', chunks: [[1, 1]] })
      expect(taken()).toBe(1)
      hand.say({ type: 'holds', node: 'a', chunks: [[1, 1]] })
      expect(taken()).toBe(0)
    })

    it('publishes it in the queue when the node has no room, for the same attempt', () => {
      const { hand, again } = sent()
      hand.say({ type: 'returned', node: 'b', chunk: 1 })
      expect(again()).toBe(0)
      hand.say({ type: 'returned', node: 'a', chunk: 1 })
      expect(again()).toBe(1)
      hand.say({ type: 'held', node: 'b', chunks: [[1, 1]] })
      expect(hand.ledger.runs('b', 1, 0)).toBe(true)
      hand.say({ type: 'returned', node: 'b', chunk: 1 })
      expect(again()).toBe(0)
      expect(delivered(hand.report(1, 0, 1, { node: 'b' }))).toEqual([[0, 1, []]])
    })

    const withoutIt = { type: 'holds', node: 'a', chunks: [] } as const

    it('publishes it in the queue when two heartbeats, once it must be there, do not have it', () => {
      const { hand, again } = sent()
      hand.say({ type: 'tick' })
      for (let beat = 0; beat < 5; beat++) hand.say(withoutIt, 100)
      hand.say({ type: 'tick' }, 500)
      hand.say(withoutIt)
      expect(again()).toBe(0)
      hand.say(withoutIt)
      expect(again()).toBe(1)
      expect(hand.ledger.runs('a', 1, 0)).toBe(false)
    })

    it('does not count heartbeats that it reads late, because the program was stopped', () => {
      const { hand, again } = sent()
      hand.say({ type: 'tick' })
      for (let beat = 0; beat < 5; beat++) hand.say(withoutIt, beat === 0 ? 4000 : 0)
      hand.say({ type: 'tick' })
      for (let beat = 0; beat < 5; beat++) hand.say(withoutIt)
      expect(again()).toBe(0)
      expect(hand.ledger.runs('a', 1, 0)).toBe(true)
      for (let tick = 0; tick < 5; tick++) hand.say({ type: 'tick' }, 250)
      hand.say(withoutIt)
      hand.say(withoutIt)
      expect(again()).toBe(1)
    })

    it('does count them when it is busy all the time: otherwise it would wait for ever', () => {
      const { hand, again } = sent()
      hand.say({ type: 'tick' })
      for (let tick = 0; tick < 2; tick++) hand.say({ type: 'tick' }, 4000)
      for (let beat = 0; beat < 2; beat++) hand.say(withoutIt, 4000)
      expect(again()).toBe(1)
    })

    it('gives it to others when the node is lost, which may have begun it', () => {
      const { hand } = sent()
      hand.published()
      hand.direct = 'b'
      hand.say({ type: 'nodeLost', node: 'a' })
      expect(hand.published()).toEqual([[2, 0, 1, 2]])
      expect(hand.ledger.runs('b', 2, 0)).toBe(true)
    })
  })

  it('shares the rest of a chunk that takes too long with idle slots', () => {
    const hand = new Hand(2)
    hand.add(0, 40)
    hand.published()
    hand.report(1, 0, 1, { ms: 1 })
    const [chunk, start, count] = hand.published()[0] as [number, number, number]
    expect(count).toBe(8)
    hand.say({ type: 'held', node: 'slow', chunks: [[1, chunk]] })
    hand.say({ type: 'capacity', need: 'any', slots: 2, free: 1, team: 1 })
    hand.say({ type: 'drop', job: 1, start: 0, end: start })
    hand.say({ type: 'drop', job: 1, start: start + count, end: 40 })
    hand.said = []
    hand.wait(1000)
    const half = start + Math.ceil(count / 2)
    expect(hand.said).toContainEqual({
      type: 'dropTasks',
      node: 'slow',
      job: 1,
      chunk,
      start: half,
      end: start + count,
    })
    expect(hand.published()[0]?.slice(1)).toEqual([half, expect.any(Number), 2])
  })

  it('gives a later job its share at once, and a more important one all', () => {
    const hand = new Hand(2, { solo: true })
    hand.add(0, 1000)
    expect(hand.published()).toHaveLength(4)
    hand.job(2, { solo: true })
    hand.add(0, 1000, 1, 2)
    expect(hand.published()).toHaveLength(2)
    hand.job(3, { solo: true, priority: 1 })
    hand.add(0, 1000, 1, 3)
    expect(hand.published()).toHaveLength(4)
  })

  it('gives up a task that was on ten nodes that were lost', () => {
    const hand = new Hand()
    hand.add(0, 1)
    for (let loss = 1; loss <= 10; loss++) {
      hand.say({ type: 'held', node: `n${loss}`, chunks: [[1, loss]] })
      hand.say({ type: 'nodeLost', node: `n${loss}` })
    }
    expect(hand.said.filter(({ type }) => type === 'giveUp')).toEqual([
      { type: 'giveUp', job: 1, index: 0, losses: 10 },
    ])
    expect(hand.ledger.inFlight).toBe(0)
  })

  it('has a million tasks in no more memory than one', () => {
    const hand = new Hand(4)
    const before = process.memoryUsage().heapUsed
    hand.add(0, 1e6)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(1 << 20)
    expect(hand.ledger.snapshot(1, () => 1)).toEqual({ queued: 1e6, running: 0, slots: 0 })
  })
})

describe('the ledger in a simulated cluster', () => {
  it('runs everything once where nothing goes wrong, within its window', () => {
    const world = new LedgerWorld(1)
    world.addNode(2)
    world.addNode(2)
    world.job({ id: 1 }, 5000)
    world.run()
    expect(world.executions).toBe(5000)
    expect(world.mostInFlight).toBeLessThanOrEqual(12)
    expect([...world.delivered.values()].every((times) => times === 1)).toBe(true)
  })

  it('is done in time although one node is ten times slower', () => {
    const world = new LedgerWorld(2)
    world.addNode(2, 10)
    world.addNode(2)
    world.job({ id: 1 }, 4000)
    world.run()
    // Bare: 4000 × 5 ms on 2.2 slots.
    expect(world.now).toBeLessThan((4000 * 5) / 2.2 + 2500)
  })

  it.each([
    [10, 4, 1],
    [100, 10, 1],
    [1000, 20, 1],
    [100, 10, 20],
    [1000, 20, 20],
  ])('is done in time although it was quick before: %i ms, %i nodes, after %i calls', (ms, nodes, calls) => {
    const world = new LedgerWorld(3)
    for (let i = 0; i < nodes; i++) world.addNode(1)
    world.duration = ms
    world.job({ id: 1, cap: 256 }, 2 * nodes)
    world.run()
    world.duration = 0.05
    for (let call = 0; call < calls; call++) {
      world.add(1, 100 + call, 101 + call, 1)
      world.run()
    }
    world.duration = ms
    const begun = world.now
    world.add(1, 1000, 1400, 1)
    world.run()
    expect(world.now - begun).toBeLessThan((400 * ms) / nodes + 2000)
  })

  it('delivers every task exactly once, whatever is lost, repeated, killed, stalled or restarted', () => {
    const seed = Number(process.env.DICOMP_SEED ?? Date.now() % 2 ** 31)
    console.log(`seed ${seed} (DICOMP_SEED repeats it)`)
    const time = fc.integer({ min: 0, max: 8000 })
    const trouble = fc.array(
      fc.oneof(
        fc.record({ what: fc.constant('kill' as const), at: time, which: fc.nat(9) }),
        fc.record({
          what: fc.constant('stall' as const),
          at: time,
          which: fc.nat(9),
          ms: fc.integer({ min: 100, max: 12_000 }),
        }),
        fc.record({
          what: fc.constant('server' as const),
          at: time,
          ms: fc.integer({ min: 1, max: 5000 }),
        }),
        fc.record({ what: fc.constant('cancel' as const), at: time, which: fc.nat(2) }),
        fc.record({ what: fc.constant('drop' as const), at: time, which: fc.nat(300) }),
      ),
      { maxLength: 8 },
    )
    const jobs = fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 400 }),
        priority: fc.integer({ min: -1, max: 1 }),
        solo: fc.boolean(),
        concurrency: fc.constantFrom(Infinity, Infinity, 3),
      }),
      { minLength: 1, maxLength: 3 },
    )
    const faults = fc.record({
      loss: fc.constantFrom(0, 0.02, 0.2),
      twice: fc.constantFrom(0, 0.02, 0.2),
      delay: fc.constantFrom(1, 20, 300),
    })
    const slots = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 })
    const duration = fc.constantFrom(1, 20, 200)
    fc.assert(
      fc.property(
        fc.nat(),
        faults,
        slots,
        duration,
        jobs,
        trouble,
        (random, rates, each, ms, list, events) => {
          const world = new LedgerWorld(random, rates)
          world.duration = ms
          world.failing = (index) => index % 7 === 3
          for (const count of each) world.addNode(count)
          for (const [id, { count, ...spec }] of list.entries()) world.job({ id, ...spec }, count)
          for (const event of events) {
            world.at(event.at, () => {
              const { nodes } = world
              const node = 'which' in event ? nodes[event.which % nodes.length] : undefined
              if (event.what === 'kill' && node) {
                world.kill(node)
                world.addNode(node.slots)
              } else if (event.what === 'stall' && node) world.stall(node, event.ms)
              else if (event.what === 'server') world.restartServer(event.ms)
              else if (event.what === 'cancel') world.cancel(event.which % list.length)
              else if (event.what === 'drop') {
                const count = list[0]?.count ?? 0
                if (!events.some(({ what }) => what === 'cancel'))
                  world.drop(0, 0, Math.min(count, event.which))
              }
            })
          }
          world.run()
          expect(world.given.size).toBe(0)
          expect(world.settled).toBe(world.expected)
          // Nodes are told what nobody wants any more.
          for (
            let i = 0;
            i < 60 && world.nodes.some(({ state, held }) => state !== 'dead' && held.size > 0);
            i++
          ) {
            world.idle(10_000)
          }
          for (const node of world.nodes) if (node.state !== 'dead') expect(node.held.size).toBe(0)
        },
      ),
      { seed, numRuns: Number(process.env.DICOMP_RUNS ?? 150) },
    )
  })
})
