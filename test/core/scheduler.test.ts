import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GRACE_MS, Scheduler } from '../../src/core/scheduler.ts'
import type { Event } from '../../src/core/state.ts'
import { type SimTask, World } from './world.ts'

const tasks = (count: number, task: SimTask = { duration: 1 }): SimTask[] =>
  Array.from({ length: count }, () => ({ ...task }))

const keys = (job: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${job}:${index}`)

describe('scheduler', () => {
  it('delivers every task once', () => {
    const world = new World(4)
    world.job({ id: 1 }, tasks(1000))
    world.run()
    expect([...world.delivered.keys()].sort()).toEqual(keys(1, 1000).sort())
    expect([...world.delivered.values()].every((count) => count === 1)).toBe(true)
    expect(world.lost.size).toBe(0)
    expect(world.executions.get('1:0')).toBe(1)
  })

  it('starts one slot for one task and all for many', () => {
    const one = new World(4)
    one.job({ id: 1 }, tasks(1))
    one.run()
    expect(one.slots).toBe(1)
    const many = new World(4)
    many.job({ id: 1 }, tasks(100))
    many.run()
    expect(many.slots).toBe(4)
    expect(many.mostBusy).toBe(4)
  })

  it('finds the task that kills its slot, gives it up after 3 slots, and loses no neighbour', () => {
    const world = new World(2)
    const list = tasks(300)
    list[77] = { duration: 1, kills: true }
    world.job({ id: 1 }, list)
    world.run()
    expect(world.lost).toEqual(new Map([['1:77', { cause: 'crash', kills: 3 }]]))
    expect(world.delivered.size).toBe(299)
  })

  const started = (): { scheduler: Scheduler; handle: (event: Event) => ReturnType<Scheduler['handle']> } => {
    const scheduler = new Scheduler({ slots: 1 })
    const handle = (event: Event) => scheduler.handle(event, 0)
    const spec = { id: 1, pool: 'a', priority: 0, cap: 256, solo: false, concurrency: Infinity, crashes: 3 }
    handle({ type: 'job', spec })
    handle({ type: 'tasks', job: 1, start: 0, end: 1, attempt: 1 })
    const [start] = handle({ type: 'ready', slot: 1 })
    expect(start).toMatchObject({ type: 'send', chunk: { start: 0, count: 1 } })
    return { scheduler, handle }
  }
  const sent = (actions: ReturnType<Scheduler['handle']>): [number, number][] =>
    actions.flatMap((action) => (action.type === 'send' ? [[action.chunk.start, action.chunk.count]] : []))

  it('puts tasks that were added apart in no chunk with others', () => {
    const { handle } = started()
    for (const start of [1, 4])
      handle({ type: 'tasks', job: 1, start, end: start + 3, attempt: 1, apart: true })
    const seen = sent(handle({ type: 'done', chunk: 1, count: 1, last: true, ms: 0.001, bytes: 0 }))
    for (let chunk = 2; chunk < 6; chunk++) {
      seen.push(...sent(handle({ type: 'done', chunk, count: 3, last: true, ms: 0.001, bytes: 0 })))
    }
    // Together they would be one chunk of 6, cut in halves as the queue runs dry.
    expect(seen.every(([start, count]) => start + count <= 4 || start >= 4)).toBe(true)
    expect(seen.reduce((sum, [, count]) => sum + count, 0)).toBe(6)
  })

  it('sends work that was cut already as it is, and in parts where several slots idle', () => {
    const scheduler = new Scheduler({ slots: 2, precutMs: 250 })
    const handle = (event: Event) => scheduler.handle(event, 0)
    const spec = { id: 1, pool: 'a', priority: 0, cap: 256, solo: false, concurrency: Infinity, crashes: 3 }
    handle({ type: 'job', spec })
    handle({ type: 'tasks', job: 1, start: 0, end: 2, attempt: 1 })
    for (const slot of [1, 2]) handle({ type: 'ready', slot })
    for (const chunk of [1, 2]) handle({ type: 'done', chunk, count: 1, last: true, ms: 10, bytes: 0 })
    expect(sent(handle({ type: 'tasks', job: 1, start: 2, end: 10, attempt: 1, apart: true }))).toEqual([
      [2, 4],
      [6, 4],
    ])
    // Both run, and each is given one more, whole.
    for (const start of [10, 18]) {
      const more = handle({ type: 'tasks', job: 1, start, end: start + 8, attempt: 1, apart: true })
      expect(sent(more)).toEqual([[start, 8]])
    }
    expect(sent(handle({ type: 'done', chunk: 3, count: 4, last: true, ms: 40, bytes: 0 }))).toEqual([])
  })

  it('shares the end of work that was cut already among slots as they idle', () => {
    const scheduler = new Scheduler({ slots: 2, precutMs: 250 })
    const handle = (event: Event) => scheduler.handle(event, 0)
    const spec = { id: 1, pool: 'a', priority: 0, cap: 256, solo: false, concurrency: Infinity, crashes: 3 }
    const counts = [0]
    const noted = (chunks: [number, number][]) => {
      for (const [, count] of chunks) counts.push(count)
      return chunks
    }
    const add = (start: number, end: number, tail: boolean) =>
      noted(sent(handle({ type: 'tasks', job: 1, start, end, attempt: 1, apart: true, tail })))
    const done = (chunk: number) => {
      const count = counts[chunk] as number
      return noted(sent(handle({ type: 'done', chunk, count, last: true, ms: 10 * count, bytes: 0 })))
    }
    handle({ type: 'job', spec })
    add(0, 2, false)
    for (const slot of [1, 2]) noted(sent(handle({ type: 'ready', slot })))
    for (const chunk of [1, 2]) done(chunk)
    add(2, 18, false)
    for (const chunk of [3, 4]) done(chunk)
    add(18, 66, false)
    // Not behind what runs: whichever slot ends first takes a part.
    expect(add(66, 91, true)).toEqual([])
    expect(done(5)).toEqual([[66, 7]])
    expect(done(6)).toEqual([[73, 5]])
    expect(done(7)).toEqual([[78, 4]])
    expect(done(8)).toEqual([[82, 3]])
    // What waits behind a short one hides the way to the slot.
    expect(done(9)).toEqual([
      [85, 2],
      [87, 2],
    ])
    for (let chunk = 10; chunk < counts.length; chunk++) done(chunk)
    // At once where they idle.
    expect(add(91, 95, true)).toEqual([
      [91, 2],
      [93, 2],
    ])
  })

  it('takes back what waits in a slot behind work that proves to be long', () => {
    const scheduler = new Scheduler({ slots: 1, precutMs: 250 })
    const handle = (event: Event) => scheduler.handle(event, 0)
    const add = (start: number, end: number) =>
      handle({ type: 'tasks', job: 1, start, end, attempt: 1, apart: true })
    const spec = { id: 1, pool: 'a', priority: 0, cap: 256, solo: false, concurrency: Infinity, crashes: 3 }
    handle({ type: 'job', spec })
    add(0, 1)
    handle({ type: 'ready', slot: 1 })
    handle({ type: 'done', chunk: 1, count: 1, last: true, ms: 1, bytes: 0 })
    add(1, 9)
    handle({ type: 'done', chunk: 2, count: 8, last: true, ms: 8, bytes: 0 })
    // 64 ms each, as far as anybody knows.
    expect([...sent(add(9, 73)), ...sent(add(73, 137))]).toEqual([
      [9, 64],
      [73, 64],
    ])
    expect(handle({ type: 'done', chunk: 3, count: 5, last: false, ms: 5, bytes: 0 })).toEqual([])
    const slow = { type: 'done', chunk: 3, count: 5, last: false, ms: 50, bytes: 0 } as const
    expect(handle(slow)).toMatchObject([{ type: 'giveBack', chunk: { start: 73 } }])
    expect(handle(slow)).toEqual([])
    // It waits for whichever slot idles first, and not behind the long one again.
    expect(handle({ type: 'done', chunk: 4, count: 0, last: true, ms: 0, bytes: 0 })).toEqual([])
  })

  it('stops a chunk when all that it has not reported is dropped', () => {
    const { handle } = started()
    handle({ type: 'tasks', job: 1, start: 1, end: 9, attempt: 1 })
    const actions = handle({ type: 'done', chunk: 1, count: 1, last: true, ms: 0.001, bytes: 0 })
    const [[start, count]] = sent(actions) as [[number, number]]
    expect(count).toBeGreaterThan(1)
    handle({ type: 'done', chunk: 2, count: 1, last: false, ms: 0.001, bytes: 0 })
    const dropped = handle({ type: 'drop', job: 1, start: start + 1, end: start + count })
    expect(dropped.map(({ type }) => type)).toContain('abort')
  })

  it('gives up at once what runs out of memory', () => {
    const world = new World(2)
    world.job({ id: 1 }, [{ duration: 1, kills: true, memory: true }, ...tasks(5)])
    world.run()
    expect(world.lost).toEqual(new Map([['1:0', { cause: 'memory', kills: 1 }]]))
    expect(world.delivered.size).toBe(5)
  })

  it('gives up work whose slots never start', () => {
    const world = new World(2)
    world.startsFail = true
    world.job({ id: 1 }, tasks(10))
    world.run()
    expect(world.lost.size).toBe(10)
    expect(world.lost.get('1:3')?.cause).toBe('start')
  })

  it('runs the higher priority first among what waits', () => {
    const world = new World(1)
    world.job({ id: 1, solo: true }, tasks(20, { duration: 10 }))
    world.job({ id: 2, solo: true, priority: 5 }, tasks(5, { duration: 10 }), 100)
    world.run()
    const first = world.order.indexOf('2:0')
    expect(world.order.slice(first, first + 5).every((key) => key.startsWith('2:'))).toBe(true)
    expect(first).toBeLessThan(15)
  })

  it('shares slots fairly between equal jobs', () => {
    const world = new World(4)
    world.job({ id: 1, solo: true }, tasks(400, { duration: 10 }))
    world.job({ id: 2, solo: true }, tasks(40, { duration: 10 }), 200)
    world.run()
    const lastOfSmall = world.order.lastIndexOf('2:39')
    // While both wait, each has half: the small job ends when about as many tasks of the large one have run.
    const largeMeanwhile = world.order
      .slice(world.order.indexOf('2:0'), lastOfSmall)
      .filter((key) => key.startsWith('1:'))
    expect(largeMeanwhile.length).toBeLessThan(60)
  })

  it('keeps to the concurrency of a job', () => {
    const world = new World(4)
    world.job({ id: 1, concurrency: 2 }, tasks(50, { duration: 10 }))
    world.run()
    expect(world.mostBusy).toBe(2)
    expect(world.delivered.size).toBe(50)
  })

  it('never runs more than the limit, whatever the number of pools', () => {
    const world = new World(3)
    for (let id = 1; id <= 5; id++) world.job({ id, pool: `pool ${id}` }, tasks(20, { duration: 5 }))
    world.run()
    expect(world.delivered.size).toBe(100)
    expect(world.mostBusy).toBeLessThanOrEqual(3)
  })

  it('stops what is cancelled: a task that does not listen is killed after the grace, others are not', () => {
    const world = new World(2)
    world.job({ id: 1, solo: true }, [{ duration: 1e6, stubborn: true }, ...tasks(10, { duration: 5 })])
    world.job({ id: 2, solo: true }, tasks(20, { duration: 5 }))
    world.at(60, () => world.handle({ type: 'cancel', job: 1 }))
    world.run()
    expect(world.kills).toBe(1)
    expect([...world.delivered.keys()].filter((key) => key.startsWith('2:')).length).toBe(20)
    expect(world.delivered.get('1:0')).toBeUndefined()
    expect(GRACE_MS).toBeGreaterThan(0)
  })

  it('hands unfinished work to slots that idle', () => {
    const world = new World(2)
    // Fast tasks teach it large chunks, then slow ones arrive in one of them.
    world.job({ id: 1 }, [...tasks(400, { duration: 0.01 }), ...tasks(40, { duration: 50 })])
    world.run()
    const slow = (list: string[]) => list.filter((key) => Number(key.split(':')[1]) >= 400).length
    const shares = [...world.bySlot.values()].map(slow)
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(10)
  })

  describe('nested work', () => {
    const nesting = (tasks: number, solo: boolean) => {
      const scheduler = new Scheduler({ slots: 1 })
      const spec = { pool: 'a', priority: 0, cap: 1, solo, concurrency: Infinity, crashes: 3 }
      scheduler.handle({ type: 'job', spec: { id: 1, ...spec } }, 0)
      scheduler.handle({ type: 'tasks', job: 1, start: 0, end: tasks, attempt: 1 }, 0)
      const handle = (event: Event) =>
        scheduler.handle(event, 1).map((action) => {
          if (action.type === 'send') return `${action.chunk.start} to ${action.chunk.slot.id}`
          return action.type === 'lost' ? `lost ${action.start}` : action.type
        })
      const wait = (start: number) => {
        const slots = [...scheduler.slots]
        const chunk = slots.flatMap((slot) => slot.chunks).find((each) => each.start === start)
        return handle({ type: 'waiting', chunk: chunk?.id ?? 0, yes: true })
      }
      return { handle, wait }
    }

    it('gets a slot of its own while a task waits for it', () => {
      const { handle, wait } = nesting(2, false)
      expect(handle({ type: 'ready', slot: 1 })).toEqual(['0 to 1'])
      expect(wait(0)).toEqual(['start'])
      expect(handle({ type: 'ready', slot: 2 })).toEqual(['1 to 2'])
    })

    it('shares the slots of those who wait when there are many; who waits is not to blame for a crash', () => {
      const { handle, wait } = nesting(3, false)
      handle({ type: 'ready', slot: 1 })
      wait(0)
      handle({ type: 'ready', slot: 2 })
      expect(wait(1)).toEqual(['2 to 1'])
      expect(handle({ type: 'died', slot: 1, memory: true })).toContain('lost 2')
    })

    it('that may have to be killed gets a slot of its own for longer', () => {
      const { handle, wait } = nesting(3, true)
      handle({ type: 'ready', slot: 1 })
      wait(0)
      handle({ type: 'ready', slot: 2 })
      expect(wait(1)).not.toContain('2 to 1')
    })

    it('may end the slot of a task that waits for it only so often', () => {
      const { handle, wait } = nesting(1, false)
      const story: string[] = []
      for (let slot = 1; slot <= 20; slot++) {
        story.push(...handle({ type: 'ready', slot }))
        wait(0)
        story.push(...handle({ type: 'died', slot, memory: false }))
        if (story.includes('lost 0')) break
      }
      expect(story.filter((action) => action.startsWith('0 to'))).toHaveLength(6)
      expect(story.at(-1)).toBe('lost 0')
    })
  })

  it('settles every task exactly once, whatever happens', () => {
    const task = fc.record({
      duration: fc.constantFrom(0.01, 0.1, 1, 5, 40),
      kills: fc.oneof(
        { weight: 30, arbitrary: fc.constant(false) },
        { weight: 1, arbitrary: fc.constant(true) },
      ),
      memory: fc.boolean(),
    })
    const job = fc.record({
      tasks: fc.array(task, { maxLength: 120 }),
      pool: fc.constantFrom('a', 'b'),
      priority: fc.integer({ min: 0, max: 2 }),
      solo: fc.boolean(),
      concurrency: fc.constantFrom(1, 3, Infinity),
      crashes: fc.integer({ min: 1, max: 3 }),
      at: fc.integer({ min: 0, max: 300 }),
    })
    fc.assert(
      fc.property(
        fc.array(job, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 5 }),
        (jobs, slots) => {
          const world = new World(slots)
          jobs.forEach(({ tasks: list, at, ...spec }, id) => {
            world.job({ id, ...spec }, list, at)
          })
          world.run()
          jobs.forEach(({ tasks: list, crashes }, id) => {
            list.forEach((one, index) => {
              const key = `${id}:${index}`
              expect([world.delivered.get(key) ?? 0, world.lost.has(key) ? 1 : 0], key).toEqual(
                one.kills ? [0, 1] : [1, 0],
              )
              if (one.kills) expect(world.lost.get(key)?.kills).toBe(one.memory ? 1 : crashes)
            })
          })
          expect(world.mostBusy).toBeLessThanOrEqual(slots)
        },
      ),
      { numRuns: 150 },
    )
  })
})
