/** What the protocol rests on, as nats-server does it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from '../../src/nats/api.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { layOut } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { ACK_WAIT_MS } from '../../src/nats/settings.ts'
import { consumerOf, newIdentity, streamOf, subjects } from '../../src/nats/subjects.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { pull } from './pull.ts'

/** Leases of these tests: as ours, but shorter. */
const LEASE_MS = 400

let nats: Nats
let connection: Connection
let pools = 0

/** A pool of its own for each test, with short leases. */
async function pool(): Promise<Connection> {
  const link = { ...parseLink(nats.url), pool: `pool${pools++}` }
  connection = await openConnection(link, { role: 'node', identity: newIdentity() })
  await layOut(connection)
  const stream = streamOf(link.pool)
  const name = consumerOf('p1', 'any')
  const found = await request<{ config: object }>(connection, `CONSUMER.INFO.${stream}.${name}`)
  expect(found.config).toMatchObject({ ack_wait: ACK_WAIT_MS * 1e6, max_ack_pending: -1, max_deliver: -1 })
  const filter = subjects.tasksOf(link.pool, 'p1', 'any')
  const config = { ...found.config, ack_wait: LEASE_MS * 1e6 }
  await request(connection, `CONSUMER.CREATE.${stream}.${name}.${filter}`, {
    stream_name: stream,
    action: '',
    config,
  })
  return connection
}
const publish = (to: Connection, text: string) =>
  to.request(subjects.task(to.pool, 'p1', 'any', to.identity), text, { timeout: 2000 })
const left = async (of: Connection) =>
  (await request<{ state: { messages: number } }>(of, `STREAM.INFO.${streamOf(of.pool)}`)).state.messages

beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.stop())

test('a chunk whose lease ran out comes again, and not before', async () => {
  const node = await pool()
  await publish(node, 'chunk')
  const began = performance.now()
  const first = await pull(node, 'p1_any')
  expect(await pull(node, 'p1_any')).toBeUndefined()
  const second = await pull(node, 'p1_any', 5000)
  expect(second?.string()).toBe('chunk')
  expect(performance.now() - began).toBeGreaterThan(LEASE_MS * 0.95)
  // $JS.ACK.<stream>.<consumer>.<delivered>.…
  expect([first, second].map((msg) => msg?.reply?.split('.').at(-5))).toEqual(['1', '2'])
  await node.close()
})

test('a lease that is renewed does not run out', async () => {
  const node = await pool()
  await publish(node, 'chunk')
  const held = await pull(node, 'p1_any')
  for (let i = 0; i < 8; i++) {
    await sleep(LEASE_MS / 4)
    node.nc.publish(held?.reply ?? '', '+WPI')
  }
  expect(await pull(node, 'p1_any')).toBeUndefined()
  await node.request(held?.reply ?? '', '+ACK', { timeout: 2000 })
  expect(await left(node)).toBe(0)
  await node.close()
})

test('+ACK and +TERM take it out of the queue, -NAK gives it to the next at once; from whomever they come', async () => {
  const node = await pool()
  const other = await openConnection(node.link, { role: 'node', identity: newIdentity() })
  for (const how of ['+ACK', '+TERM']) {
    await publish(node, 'chunk')
    const held = await pull(node, 'p1_any')
    await other.request(held?.reply ?? '', how, { timeout: 2000 })
    expect(await left(node)).toBe(0)
  }
  // The lease of this one is long: it would not run out meanwhile.
  await node.request(subjects.task(node.pool, 'p0', 'any', node.identity), 'chunk', { timeout: 2000 })
  const held = await pull(node, 'p0_any')
  await other.request(held?.reply ?? '', '-NAK', { timeout: 2000 })
  expect((await pull(node, 'p0_any', ACK_WAIT_MS / 3))?.string()).toBe('chunk')
  await other.close()
  await node.close()
})

test('a pull that waits gets what is published later; one whose node has gone takes nothing with it', async () => {
  const node = await pool()
  const waiting = pull(node, 'p1_any', 5000)
  await sleep(50)
  await publish(node, 'first')
  const first = await waiting
  expect(first?.string()).toBe('first')
  await node.request(first?.reply ?? '', '+ACK', { timeout: 2000 })
  const gone = await openConnection(node.link, { role: 'node', identity: newIdentity() })
  pull(gone, 'p1_any', 5000).catch(() => {})
  await gone.nc.flush()
  await gone.close()
  await publish(node, 'second')
  expect((await pull(node, 'p1_any', 2000))?.string()).toBe('second')
  await node.close()
})

test('a full queue refuses more, and keeps what it has', async () => {
  const node = await pool()
  const stream = streamOf(node.pool)
  const { config } = await request<{ config: object }>(node, `STREAM.INFO.${stream}`)
  await request(node, `STREAM.UPDATE.${stream}`, { ...config, max_bytes: 10_000 })
  const answers = []
  for (let i = 0; i < 12; i++)
    answers.push((await publish(node, 'x'.repeat(1000))).json<{ error?: { err_code: number } }>())
  expect(answers.at(-1)?.error?.err_code).toBe(10077)
  expect(await left(node)).toBe(answers.filter(({ error }) => error === undefined).length)
  await node.close()
})

test.each(['SIGTERM', 'SIGKILL'] as const)(
  'after %s the queue in memory is not there at all',
  async (signal) => {
    const node = await pool()
    await publish(node, 'chunk')
    await nats.kill(signal)
    await nats.restart()
    await node.untilUp()
    const gone = request(node, `STREAM.INFO.${streamOf(node.pool)}`)
    await expect(gone).rejects.toMatchObject({ code: 10059 })
    await expect(publish(node, 'chunk')).rejects.toThrow('no responders')
    await node.close()
  },
)
