import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { encode, toFrame } from '../../src/codec/index.ts'
import { NatsEngine } from '../../src/engine/nats/engine.ts'
import { payloadFrame, writeMessage } from '../../src/nats/messages.ts'
import { Agent } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { Client } from './client.ts'

let nats: Nats
let agent: Agent
let engine: NatsEngine

beforeAll(async () => {
  nats = await startNats()
  agent = await Agent.start(nats.url, { slots: 2 })
  engine = await NatsEngine.open(nats.url)
})
afterAll(async () => {
  await engine.close()
  await agent.stop()
  await nats.stop()
})

it('gets over messages that are hostile, damaged, or lies about work that nobody did', async () => {
  const seed = Number(process.env.DICOMP_SEED ?? Date.now() % 2 ** 31)
  console.log(`seed ${seed} (DICOMP_SEED repeats it)`)
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const nc = await connect({ servers: nats.url })
  // The names on the wire are known to whoever listens.
  let client = ''
  nc.subscribe('dicomp.a.main.>', {
    callback: (_, { subject }) => {
      client = subject.split('.').slice(3).join('.')
    },
  })
  const c = new Client(engine, 'process', {
    body: 'await new Promise((resolve) => setTimeout(resolve, 3)); return [arg]',
    inputs: Array.from({ length: 600 }, (_, i) => i),
  }).addAll()
  while (client === '') await new Promise((resolve) => setTimeout(resolve, 20))
  const node = 'mallory.mallory'
  const at = () => ({ node, job: random(3), chunk: 1_000_000 + random(50), seq: random(3) })
  const range = () => ({ start: 700 + random(600), count: 1 + random(900) })
  const payload = () => ({ inline: payloadFrame({ kind: 'f64', values: [1, 2, 3] }) })
  const result = () => ({ failed: [], last: random(2) === 0, ms: 1, attempt: 1, slot: 'x' })
  const honest = [
    () => writeMessage({ type: 'held', node, chunks: [[random(3), 1_000_000 + random(40)]] }),
    () => writeMessage({ type: 'result', ...at(), ...range(), ...result(), payload: payload() }),
    () =>
      writeMessage({
        type: 'lost',
        ...at(),
        ...range(),
        last: true,
        attempt: undefined,
        error: toFrame(encode('no error')),
      }),
    () => writeMessage({ type: 'progress', node, job: 1, chunk: 1, index: 1, value: new Uint8Array(5) }),
    () => writeMessage({ type: 'log', node, job: 1, chunk: 1, index: 1, stream: 'stdout', text: 'lie' }),
  ]
  const subjects = [`dicomp.c.${client}`, 'dicomp.hb.main.mallory.mallory', `_INBOX_${client}.ack.1`]
  for (let round = 0; round < 2000; round++) {
    const make = honest[random(honest.length)] as () => Uint8Array
    const bytes = Uint8Array.from(make())
    const damage = random(4)
    if (damage === 1) bytes[random(bytes.length)] = random(256)
    if (damage === 2) for (let i = 0; i < 20; i++) bytes[random(bytes.length)] = random(256)
    const cut = damage === 3 ? bytes.subarray(0, random(bytes.length)) : bytes
    nc.publish(subjects[random(10)] ?? (subjects[0] as string), cut)
    if (round % 100 === 0) await nc.flush()
  }
  await nc.flush()
  await c.settled()
  expect(c.values()).toEqual(Array.from({ length: 600 }, (_, i) => [i]))
  expect(c.logs).toEqual([])
  c.job.forget()
  await nc.close()
})
