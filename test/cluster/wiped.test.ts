/** The server loses its disk while a program works: the program stores again what nodes need. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Cluster } from '../../src/api/cluster.ts'
import { NatsEngine } from '../../src/engine/nats/engine.ts'
import { Agent } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'

let nats: Nats
const undo: (() => Promise<void>)[] = []
beforeAll(async () => {
  nats = await startNats()
})
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each()
})
afterAll(() => nats.stop())

const joinIt = async (): Promise<Agent> => {
  const agent = await Agent.start(nats.url, { slots: 4 })
  undo.push(() => agent.stop())
  return agent
}

test('captured values that are in the store are put there again, however many tasks miss them at once', async () => {
  const first = await joinIt()
  const cluster = new Cluster(await NatsEngine.open(nats.url), {}, true)
  undo.push(() => cluster.close())
  // Too much to travel with each task.
  const table = new Float64Array(50_000).fill(2)
  // With a limit of its own each task travels alone.
  const lookUp = cluster.distribute((n: number) => table.length + (table[n] ?? 0) * n, { timeout: '20s' })
  expect(await lookUp(1)).toBe(50_002)
  await first.stop()
  await nats.kill('SIGKILL')
  rmSync(join(nats.dir, 'store'), { recursive: true })
  await nats.restart()
  await joinIt()
  const inputs = Array.from({ length: 40 }, (_, n) => n)
  expect(await Promise.all(inputs.map((n) => lookUp(n)))).toEqual(inputs.map((n) => 50_000 + 2 * n))
})
