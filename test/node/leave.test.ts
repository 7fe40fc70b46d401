/** How work on a node ends other than by its results: dropped, handed back, drained, its client gone. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { ORPHAN_MS } from '../../src/nats/settings.ts'
import { Clients } from '../../src/node/clients.ts'
import { eventually } from '../slots/leftovers.ts'
import { setUp, WAITS } from './setup.ts'

const setup = setUp()

const begun = (file: string): number[] =>
  existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').trim().split('\n').map(Number) : []
const hasBegun = (file: string): Promise<void> =>
  eventually(() => expect(begun(file).length).toBeGreaterThan(0))
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('a client', () => {
  it('that drops a chunk has it stopped, and hears no more of it', async () => {
    const { client } = setup
    const { node } = await setup.join()
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await hasBegun(file)
    client.toNode(node, { type: 'drop', client: client.id, chunks: [[1, 1]] })
    await client.untilQueued(0)
    // Its slot was ended, since the task did not: others can run.
    await eventually(() => expect(alive(begun(file)[0] as number)).toBe(false))
    await client.task({ job: 2, chunk: 2, inputs: [2] })
    expect((await client.over(2, 2))[0]).toMatchObject({ type: 'result', count: 1 })
    expect(client.outcomes(1)).toEqual([])
  })

  it('that drops some tasks of a chunk gets the others', async () => {
    const { client } = setup
    const { node } = await setup.join({ slots: 1 })
    const files = [setup.newFile(), setup.newFile(), setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, start: 10, inputs: files, body: WAITS })
    await hasBegun(files[0] as string)
    client.toNode(node, { type: 'dropTasks', client: client.id, job: 1, chunk: 1, start: 11, end: 13 })
    await client.connection.nc.flush()
    for (const file of files) setup.allow(file)
    const { values } = await client.results(1)
    expect([...values.keys()].sort()).toEqual([10, 13])
    expect(begun(files[1] as string)).toEqual([])
    await client.untilQueued(0)
  })

  it('that says goodbye has all its work ended, also what is still in the queue', async () => {
    const { client } = setup
    const agent = await setup.join({ slots: 1 })
    const [a, b] = [setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, inputs: [a], body: WAITS })
    await client.task({ chunk: 2, inputs: [b], body: WAITS })
    await hasBegun(a)
    client.toNodes({ type: 'bye', client: client.id })
    await client.untilQueued(0)
    expect(agent.running).toBe(0)
    expect(begun(b)).toEqual([])
    await eventually(() => expect(alive(begun(a)[0] as number)).toBe(false))
  })

  it('may publish a chunk twice: it is run once', async () => {
    const { client } = setup
    await setup.join()
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await client.when(() => client.of('held').flatMap(({ chunks }) => chunks).length === 2)
    setup.allow(file)
    await client.results(1)
    await client.untilQueued(0)
    expect(begun(file)).toHaveLength(1)
    // And once more when it was over: the node remembers.
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await client.untilQueued(0)
    expect(begun(file)).toHaveLength(1)
  })

  it('may send tasks that run here already in another chunk, which waits for them', async () => {
    const { client } = setup
    const { node } = await setup.join({ slots: 4 })
    const [a, b] = [setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, inputs: [a, b], body: WAITS })
    await hasBegun(a)
    await hasBegun(b)
    await client.task({ chunk: 2, start: 1, inputs: [b], body: WAITS })
    await client.when(() => client.of('held').flatMap(({ chunks }) => chunks).length === 2)
    setup.allow(b)
    // The first one's result is there before the other one begins; a client drops that then.
    await client.when(() => client.outcomes(1).length > 0)
    client.toNode(node, { type: 'drop', client: client.id, chunks: [[1, 2]] })
    setup.allow(a)
    expect((await client.results(1)).values.size).toBe(2)
    await client.untilQueued(0)
    expect(begun(b)).toHaveLength(1)
    expect(client.outcomes(2)).toEqual([])
  })

  it('may repeat a task that failed although its neighbours still run', async () => {
    const { client } = setup
    await setup.join({ slots: 4 })
    const file = setup.newFile()
    const body = `if (arg === 'fail') { if (task.attempt === 1) throw new Error('first'); return 'second' } ${WAITS}`
    await client.task({ chunk: 1, inputs: [file, 'fail'], body })
    await client.when(() => client.outcomes(1).length > 0)
    await client.task({ chunk: 2, start: 1, inputs: ['fail'], attempt: 2, body })
    expect((await client.results(2)).values.get(1)).toBe('second')
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
  })

  it('that is silent for too long is gone, unless nobody could hear it', () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval'] })
    try {
      const clients = new Clients()
      const orphans: string[] = []
      setInterval(() => orphans.push(...clients.orphaned()), 1000)
      clients.heard('silent')
      clients.heard('lively')
      setInterval(() => clients.heard('lively'), 2000)
      vi.advanceTimersByTime(ORPHAN_MS / 2)
      // The connection was lost, and is back.
      clients.amnesty()
      vi.advanceTimersByTime(ORPHAN_MS - 2000)
      expect(orphans).toEqual([])
      vi.advanceTimersByTime(4000)
      expect(orphans).toEqual(['silent'])
      expect(clients.isGone('silent')).toBe(true)
      expect(clients.isGone('lively')).toBe(false)
      clients.heard('silent')
      expect(clients.isGone('silent')).toBe(false)
    } finally {
      vi.useRealTimers()
    }
  })

  it('is not gone because this process was stopped for a while', () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      const clients = new Clients()
      clients.heard('somebody')
      vi.advanceTimersByTime(10 * ORPHAN_MS)
      expect(clients.orphaned()).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a node', () => {
  it('that drains finishes what runs, hands back what has not begun, and leaves', async () => {
    const { client } = setup
    const agent = await setup.join({ slots: 1 })
    const [runs, waits] = [setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, inputs: [runs, waits], body: WAITS })
    await hasBegun(runs)
    await client.when(() => client.heldBy(agent.node).includes(1))
    const left = agent.drain()
    expect((await client.heartbeat(({ state }) => state === 'draining')).held).toHaveLength(1)
    // It takes nothing new.
    await client.task({ chunk: 2, inputs: [1] })
    setup.allow(runs)
    const { values } = await client.results(1)
    expect(Object.fromEntries(values)).toEqual({ 0: 'done' })
    expect(begun(waits)).toEqual([])
    await client.when(() => client.heartbeats.some(({ state }) => state === 'left'))
    await left
    expect(await client.queued()).toBe(1)
    expect(setup.eventTypes()).toEqual(['joined', 'draining', 'left'])
    expect(client.of('held').flatMap(({ chunks }) => chunks)).toEqual([[1, 1]])
    expect(await agent.ended).toBeUndefined()
  })

  it('that is told to drain does so', async () => {
    const { client } = setup
    const agent = await setup.join()
    client.toNode(agent.node, { type: 'drain' })
    expect(await agent.ended).toBeUndefined()
    expect(setup.eventTypes()).toContain('left')
  })

  it('that drains hands back what runs too when the time is over', async () => {
    const { client } = setup
    const agent = await setup.join({ drainTimeout: 100 })
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await hasBegun(file)
    await agent.drain()
    const [last, ...more] = client.outcomes(1)
    expect(last).toMatchObject({ type: 'result', count: 0, last: true })
    expect(more).toEqual([])
    expect(await client.queued()).toBe(0)
    await eventually(() => expect(alive(begun(file)[0] as number)).toBe(false))
  })

  it('that stops gives what it has to the next one at once', async () => {
    const { client } = setup
    const agent = await setup.join({ slots: 1 })
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await hasBegun(file)
    const next = await setup.join()
    await agent.stop()
    // Long before the lease is over.
    await eventually(() => expect(begun(file)).toHaveLength(2), 5000)
    await client.when(() => client.heldBy(next.node).includes(1))
    setup.allow(file)
    await client.results(1)
  })

  it('hands back what it cannot begin when another one has nothing to do', async () => {
    const { client } = setup
    const full = await setup.join({ slots: 1 })
    const long = setup.newFile()
    const body = `if (arg === 0) return 1; ${WAITS}`
    const code = await client.program(body)
    // It takes the tasks for short, and so holds more than it runs.
    for (const chunk of [1, 2, 3]) {
      await client.task({ chunk, start: chunk * 10, inputs: [0, 0], code })
      await client.over(chunk)
    }
    const chunks = [4, 5, 6]
    for (const chunk of chunks) await client.task({ chunk, start: chunk * 10, inputs: [long], code })
    await client.heartbeat(({ held }) => held.length > 1)
    await setup.join({ slots: 4 })
    await client.when(() => client.of('result').some(({ count, last }) => last && count === 0))
    expect(client.heldBy(full.node)).toContain(4)
    setup.allow(long)
    for (const chunk of chunks) await client.over(chunk)
  })
})
