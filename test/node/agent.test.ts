import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Agent, type AgentEvent, type AgentOptions } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { FakeClient, refOf } from './client.ts'

let nats: Nats
let client: FakeClient
let agents: Agent[] = []
let events: AgentEvent[] = []
const cache = mkdtempSync(join(tmpdir(), 'dicomp-node-'))

beforeAll(async () => {
  process.env.DICOMP_CACHE_DIR = cache
  nats = await startNats()
})
afterAll(async () => {
  await nats.stop()
  delete process.env.DICOMP_CACHE_DIR
  rmSync(cache, { recursive: true, force: true })
})
beforeEach(async () => {
  client = await FakeClient.open(nats.url)
  client.live()
})
afterEach(async () => {
  await Promise.all(agents.map((agent) => agent.stop()))
  await client.close()
  agents = []
  events = []
})

async function join_(options: AgentOptions = {}): Promise<Agent> {
  const agent = await Agent.start(nats.url, { slots: 2, onEvent: (event) => events.push(event), ...options })
  agents.push(agent)
  return agent
}

/** A function that ends when the test says so: when the file that it is given is there. */
const WAITS = `
  const { existsSync } = process.getBuiltinModule('node:fs')
  while (!existsSync(arg)) await new Promise((resolve) => setTimeout(resolve, 10))
  return arg.length`
let files = 0
const newFile = (): string => join(cache, `go-${files++}`)
async function allow(file: string): Promise<void> {
  const { writeFileSync } = await import('node:fs')
  writeFileSync(file, '')
}

describe('a chunk', () => {
  it('is held at once, run, reported, and leaves the queue when its results are confirmed', async () => {
    const agent = await join_()
    client.confirms = false
    await client.task({ chunk: 7, start: 10, inputs: [1, 2, 3] })
    const { values } = await client.results(7)
    expect(Object.fromEntries(values)).toEqual({ 10: 2, 11: 4, 12: 6 })
    expect(client.of('held')[0]).toEqual({ type: 'held', node: agent.node, chunks: [[1, 7]] })
    expect(client.messages[0]?.type).toBe('held')
    // Unconfirmed, it is still held, and still in the queue.
    expect((await client.heartbeat(() => true)).held).toEqual([[client.id, 1, 7]])
    expect(await client.queued()).toBe(1)
    client.toNode(agent.node, { type: 'confirm', client: client.id, got: [[1, 7, 0]] })
    await client.untilQueued(0)
    expect((await client.heartbeat(() => true)).held).toEqual([])
  })
})
void refOf
void WAITS
void newFile
void allow
