/** A server that comes and goes, and messages that nobody should send. */
import { existsSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { writeMessage } from '../../src/nats/messages.ts'
import { subjects } from '../../src/nats/subjects.ts'
import { eventually } from '../slots/leftovers.ts'
import { setUp, WAITS } from './setup.ts'

const setup = setUp()

const begun = (file: string): number =>
  existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').trim().split('\n').length : 0

describe('a server that is killed and comes back with an empty memory', () => {
  it('gets the results of what ran meanwhile, and new work', async () => {
    const { client } = setup
    const agent = await setup.join()
    const [a, b] = [setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, inputs: [a], body: WAITS })
    await client.task({ chunk: 2, start: 1, inputs: [b], body: WAITS })
    await eventually(() => expect(begun(a) + begun(b)).toBe(2))
    await setup.nats.kill('SIGKILL')
    await eventually(() => expect(setup.eventTypes()).toContain('disconnected'))
    // One ends while nobody listens, the other afterwards.
    setup.allow(a)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await setup.nats.restart()
    expect((await client.results(1)).values.get(0)).toBe('done')
    // The node has made the queue again.
    await client.untilQueued(0)
    const { held } = await client.heartbeat(({ held }) => held.length === 1)
    expect(held).toEqual([[client.id, 1, 2]])
    await client.task({ chunk: 3, start: 2, inputs: [a], body: WAITS })
    expect((await client.results(3)).values.get(2)).toBe('done')
    setup.allow(b)
    expect((await client.results(2)).values.get(1)).toBe('done')
    await client.untilQueued(0)
    expect(begun(b)).toBe(1)
    expect(setup.eventTypes().slice(0, 3)).toEqual(['joined', 'disconnected', 'reconnected'])
    expect(agent.running).toBe(0)
  })

  it('is missed once, and not told to be in trouble, where it is ended as usual', async () => {
    await setup.join()
    await setup.client.heartbeat(({ state }) => state === 'working')
    // By now it has asked for work, and waits for it.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await setup.nats.kill('SIGTERM')
    await eventually(() => expect(setup.eventTypes()).toContain('disconnected'))
    await setup.nats.restart()
    await eventually(() => expect(setup.eventTypes()).toContain('reconnected'), 10_000)
    expect(setup.eventTypes()).toEqual(['joined', 'disconnected', 'reconnected'])
  })

  it('is not told that a chunk of its new queue is done because one of the old one was', async () => {
    const { client } = setup
    await setup.join({ slots: 1 })
    const [old, fresh] = [setup.newFile(), setup.newFile()]
    await client.task({ chunk: 1, inputs: [old], body: WAITS })
    await eventually(() => expect(begun(old)).toBe(1))
    await setup.nats.kill('SIGKILL')
    await setup.nats.restart()
    await client.untilQueued(0)
    // It has the place in the new queue that the first one had in the old one.
    await client.task({ chunk: 2, start: 1, inputs: [fresh], body: WAITS })
    setup.allow(old)
    await client.results(1)
    await eventually(() => expect(begun(fresh)).toBe(1))
    expect(await client.queued()).toBe(1)
    setup.allow(fresh)
    await client.results(2)
    await client.untilQueued(0)
  })
})

describe('hostile messages', () => {
  afterEach(() => {
    expect(setup.agents).not.toEqual([])
  })

  const GARBAGE: Uint8Array[] = [
    new Uint8Array(0),
    Buffer.from('{"type":"task"}'),
    new Uint8Array(1000).fill(255),
    writeMessage({ type: 'drain' }).subarray(0, 20),
    writeMessage({ type: 'bye', client: '../..' }),
    writeMessage({ type: 'confirm', client: 'a.b', got: [[-1, 0, 0]] }),
    writeMessage({ type: 'dropTasks', client: 'a.b', job: 1, chunk: 1, start: 0, end: Number.NaN }),
  ]

  it('on any subject are dropped and told; the node goes on', async () => {
    const { client } = setup
    const agent = await setup.join()
    const { nc, pool } = client.connection
    const to = [
      subjects.node(agent.node, client.id),
      subjects.clients(pool, client.id),
      subjects.roll(pool),
      `_INBOX_${agent.node}.pull.x`,
      `_INBOX_${agent.node}.pull.1`,
    ]
    for (const subject of to) for (const bytes of GARBAGE) nc.publish(subject, bytes)
    for (const bytes of GARBAGE) await nc.request(subjects.task(pool, 'p1', 'any', client.id), bytes)
    // The right kind at the wrong place.
    nc.publish(
      subjects.node(agent.node, client.id),
      writeMessage({ type: 'alive', client: client.id, needs: [] }),
    )
    nc.publish(subjects.clients(pool, client.id), writeMessage({ type: 'drain' }))
    await client.untilQueued(0)
    await client.task({ chunk: 1, inputs: [3] })
    expect((await client.results(1)).values.get(0)).toBe(6)
    const dropped = setup.events.flatMap((event) => (event.type === 'dropped' ? [event.subject] : []))
    expect(new Set(dropped)).toEqual(
      new Set([to[0], to[1], subjects.task(pool, 'p1', 'any', client.id)] as string[]),
    )
    expect(dropped.length).toBe(3 * GARBAGE.length + 2)
  })

  it('that speak for another client are dropped', async () => {
    const { client } = setup
    const agent = await setup.join()
    const { nc, pool } = client.connection
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toBe(1))
    nc.publish(
      subjects.node(agent.node, 'tester.other'),
      writeMessage({ type: 'drop', client: client.id, chunks: [[1, 1]] }),
    )
    nc.publish(subjects.clients(pool, 'tester.other'), writeMessage({ type: 'bye', client: client.id }))
    await nc.request(
      subjects.task(pool, 'p1', 'any', 'tester.other'),
      await client.message({ chunk: 2, inputs: [1] }),
    )
    await client.untilQueued(1)
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    expect(client.outcomes(2)).toEqual([])
  })

  it('inside of an honest envelope fail their own chunk', async () => {
    const { client } = setup
    await setup.join()
    const { nc, pool } = client.connection
    const subject = subjects.task(pool, 'p1', 'any', client.id)
    const parts = { client: client.id, job: 1, start: 0, count: 2, attempt: 1, skip: [] }
    const honest = await client.message({ chunk: 1, inputs: [1, 2] })
    const bad = { spec: new Uint8Array(9), payload: { inline: new Uint8Array(9) } }
    await nc.request(subject, writeMessage({ type: 'task', chunk: 2, ...parts, ...bad }))
    expect((await client.results(2)).lost.size).toBe(2)
    // One argument for two tasks, of a job that is known by now.
    await nc.request(subject, honest)
    await client.over(1)
    const spec = new Uint8Array(9)
    const { payload } = await short(client)
    await nc.request(subject, writeMessage({ type: 'task', chunk: 3, ...parts, spec, payload }))
    const { lost } = await client.results(3)
    expect(String(lost.get(1))).toContain('1 arguments for 2 tasks')
    await client.untilQueued(0)
  })
})

async function short(client: typeof setup.client): Promise<{ payload: { inline: Uint8Array } }> {
  const { readMessage } = await import('../../src/nats/messages.ts')
  const message = readMessage(await client.message({ chunk: 9, inputs: [1] }), ['task'])
  return { payload: message?.payload as { inline: Uint8Array } }
}
