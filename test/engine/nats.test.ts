import { afterAll, beforeAll } from 'vitest'
import { NatsEngine } from '../../src/engine/nats/engine.ts'
import { Agent } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { engineContract } from './contract.ts'

let nats: Nats
/** Each test has a pool of its own on the same server. */
let pool = 0

beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.stop())

engineContract('nats', async (slots) => {
  const link = `${nats.url}/test${pool++}`
  const agent = await Agent.start(link, { slots })
  const engine = await NatsEngine.open(link)
  return {
    engine,
    isolation: 'process',
    async close() {
      await engine.close()
      await agent.stop()
    },
  }
})
