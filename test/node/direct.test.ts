/** Chunks that a client sends to a node itself, past the queue. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { subjects } from '../../src/nats/subjects.ts'
import { eventually } from '../slots/leftovers.ts'
import type { TaskSetup } from './client.ts'
import { setUp, WAITS } from './setup.ts'

const setup = setUp()

const begun = (file: string): number =>
  existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').trim().split('\n').length : 0

async function send(node: string, task: TaskSetup): Promise<void> {
  const { nc, pool } = setup.client.connection
  nc.publish(subjects.direct(pool, node, setup.client.id), await setup.client.message(task))
}

describe('a chunk that is sent to a node', () => {
  it('runs there, is held as heartbeats tell, and leaves nothing', async () => {
    const { client } = setup
    const agent = await setup.join()
    const file = setup.newFile()
    await send(agent.node, { chunk: 1, inputs: [file], body: WAITS })
    expect((await client.heartbeat(({ held }) => held.length === 1)).held).toEqual([[client.id, 1, 1]])
    expect(client.of('held')).toEqual([])
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    await client.heartbeat(({ held, free }) => held.length === 0 && free === 2)
    expect(await client.queued()).toBe(0)
  })

  it('is returned by a node that has no slot for it', async () => {
    const { client } = setup
    const agent = await setup.join({ slots: 1 })
    const [first, second] = [setup.newFile(), setup.newFile()]
    await send(agent.node, { chunk: 1, inputs: [first], body: WAITS })
    await send(agent.node, { chunk: 2, start: 1, inputs: [second], body: WAITS })
    await eventually(() => expect(client.of('full').flatMap(({ chunks }) => chunks)).toEqual([[1, 2]]))
    setup.allow(first)
    await client.results(1)
    expect(begun(second)).toBe(0)
  })

  it('is returned by a node that drains', async () => {
    const { client } = setup
    const agent = await setup.join()
    const file = setup.newFile()
    await send(agent.node, { chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toBe(1))
    const left = agent.drain()
    await send(agent.node, { chunk: 2, start: 1, inputs: [1] })
    await eventually(() => expect(client.of('full').flatMap(({ chunks }) => chunks)).toEqual([[1, 2]]))
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    await left
  })

  it('runs once, however often it comes, through the queue too', async () => {
    const { client } = setup
    const agent = await setup.join()
    const file = setup.newFile()
    const task = { chunk: 1, inputs: [file], body: WAITS }
    await send(agent.node, task)
    await send(agent.node, task)
    await eventually(() => expect(begun(file)).toBe(1))
    await client.task(task)
    await send(agent.node, task)
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    await client.untilQueued(0)
    expect(begun(file)).toBe(1)
    expect(client.outcomes(1)).toHaveLength(1)
  })

  it('need not describe a job that the node knows, and is returned by one that does not', async () => {
    const { client } = setup
    const agent = await setup.join()
    await send(agent.node, { chunk: 1, inputs: [1], described: false })
    await eventually(() => expect(client.of('full').flatMap(({ chunks }) => chunks)).toEqual([[1, 1]]))
    await send(agent.node, { chunk: 1, inputs: [1] })
    // The job may still be loading.
    await send(agent.node, { chunk: 2, start: 1, inputs: [2], described: false })
    expect((await client.results(1, 2)).values).toEqual(
      new Map([
        [0, 2],
        [1, 4],
      ]),
    )
    await send(agent.node, { chunk: 3, start: 2, inputs: [3], described: false, stored: true })
    expect((await client.results(3)).values.get(2)).toBe(6)
    client.toNode(agent.node, { type: 'forget', client: client.id, job: 1 })
    await send(agent.node, { chunk: 4, start: 3, inputs: [4], described: false })
    await eventually(() => expect(client.of('full').flatMap(({ chunks }) => chunks)).toContainEqual([1, 4]))
    expect(client.outcomes(4)).toEqual([])
  })

  it('in the queue must describe its job', async () => {
    const { client } = setup
    await setup.join()
    await client.task({ chunk: 1, inputs: [1], described: false })
    await eventually(() => expect(setup.eventTypes()).toContain('dropped'))
    await client.untilQueued(0)
    await client.task({ chunk: 2, inputs: [2] })
    expect((await client.results(2)).values.get(0)).toBe(4)
    expect(client.outcomes(1)).toEqual([])
  })

  it('may confirm results of others', async () => {
    const { client } = setup
    const agent = await setup.join()
    client.confirms = false
    await send(agent.node, { chunk: 1, inputs: [1] })
    await client.results(1)
    const [result] = client.outcomes(1)
    await client.heartbeat(({ held }) => held.length === 1)
    await send(agent.node, { chunk: 2, start: 1, inputs: [2], got: [[1, 1, result?.seq as number]] })
    await client.results(2)
    expect((await client.heartbeat(({ held }) => held.every(([, , chunk]) => chunk !== 1))).held).toEqual([
      [client.id, 1, 2],
    ])
  })

  it('in the name of another client, or that is none, is dropped', async () => {
    const { client } = setup
    const agent = await setup.join()
    const { nc, pool } = client.connection
    const message = await client.message({ chunk: 1, inputs: [1] })
    nc.publish(subjects.direct(pool, agent.node, 'tester.other'), message)
    nc.publish(subjects.direct(pool, agent.node, client.id), Buffer.from('x'))
    await eventually(() => expect(setup.eventTypes().filter((type) => type === 'dropped')).toHaveLength(2))
    await client.task({ chunk: 2, inputs: [2] })
    expect((await client.results(2)).values.get(0)).toBe(4)
    expect(client.outcomes(1)).toEqual([])
  })
})
