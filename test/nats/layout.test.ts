import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from '../../src/nats/api.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { ensureNeed, layOut, needKey } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { meets } from '../../src/nats/need.ts'
import { newIdentity, streamOf, subjects } from '../../src/nats/subjects.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { pull } from './pull.ts'

let nats: Nats
const open = (pool = 'main') =>
  openConnection({ ...parseLink(nats.url), pool }, { role: 'node', identity: newIdentity() })
const connections: Connection[] = []
const opened = async (pool?: string) => {
  const connection = await open(pool)
  connections.push(connection)
  return connection
}
interface Info {
  config: { storage: string; retention: string; max_bytes: number; num_replicas: number }
  state: { messages: number; consumer_count: number }
}
const info = (connection: Connection, name: string) => request<Info>(connection, `STREAM.INFO.${name}`)

beforeAll(async () => {
  nats = await startNats()
})
afterAll(async () => {
  for (const connection of connections) await connection.close()
  await nats.stop()
})

test('from eight connections at once: one work queue with three consumers, one object store', async () => {
  const many = await Promise.all(Array.from({ length: 8 }, () => opened()))
  await Promise.all(many.map((connection) => layOut(connection)))
  await layOut(many[0] as Connection)
  const queue = await info(many[0] as Connection, streamOf('main'))
  expect(queue.config).toMatchObject({ storage: 'memory', retention: 'workqueue', num_replicas: 1 })
  expect(queue.state.consumer_count).toBe(3)
  const store = await info(many[0] as Connection, 'OBJ_dicomp_main')
  expect(store.config).toMatchObject({ storage: 'file', max_bytes: -1 })
})

test('options change what is there; without options it stays', async () => {
  const connection = await opened('limited')
  await layOut(connection)
  await layOut(connection, { maxBytes: 10 << 20 })
  expect((await info(connection, 'OBJ_dicomp_limited')).config.max_bytes).toBe(10 << 20)
  await layOut(connection)
  expect((await info(connection, 'OBJ_dicomp_limited')).config.max_bytes).toBe(10 << 20)
})

test('replicas that the server cannot have are an error, and so is a stream of somebody else', async () => {
  await expect(layOut(await opened('three'), { replicas: 3 })).rejects.toMatchObject({
    code: 'DICOMP_E_SERVER',
    message: expect.stringContaining('T_three'),
  })
  const connection = await opened('taken')
  await request(connection, 'STREAM.CREATE.T_taken', { name: 'T_taken', subjects: ['other.>'] })
  await expect(layOut(connection)).rejects.toMatchObject({
    code: 'DICOMP_E_SERVER',
    message: expect.stringContaining('T_taken that dicomp did not make'),
  })
})

test('a server that was killed has lost the queue and its tasks, not the store; layOut brings the queue back', async () => {
  const connection = await opened('lost')
  await layOut(connection)
  const subject = subjects.task('lost', 'p1', 'any', newIdentity())
  await connection.nc.request(subject, 'a chunk')
  const again = new Promise<void>((resolve) =>
    connection.onStatus((status) => status === 'reconnected' && resolve()),
  )
  await nats.kill('SIGKILL')
  await nats.restart()
  await again
  await layOut(connection)
  const { state } = await info(connection, streamOf('lost'))
  expect(state).toMatchObject({ messages: 0, consumer_count: 3 })
  expect(await connection.nc.request(subject, 'a chunk').then((ack) => ack.json())).toMatchObject({
    stream: 'T_lost',
  })
})

test('needs have consumers of their own, which take nothing from the others', async () => {
  const connection = await opened('needs')
  await layOut(connection)
  const key = await ensureNeed(connection, { tags: ['gpu'], memory: 2 ** 30 })
  await Promise.all([1, 2, 3].map(() => ensureNeed(connection, { tags: ['gpu'], memory: 2 ** 30 })))
  expect((await info(connection, streamOf('needs'))).state.consumer_count).toBe(6)
  const client = newIdentity()
  await connection.nc.request(subjects.task('needs', 'p0', key, client), 'needs a gpu')
  await connection.nc.request(subjects.task('needs', 'p0', 'any', client), 'anywhere')
  expect((await pull(connection, 'p0_any'))?.string()).toBe('anywhere')
  expect(await pull(connection, 'p0_any')).toBeUndefined()
  expect((await pull(connection, `p0_${key}`))?.string()).toBe('needs a gpu')
})

test('keys of needs', () => {
  expect(needKey({})).toBe('any')
  expect(needKey({ tags: [] })).toBe('any')
  expect(needKey({ tags: ['a', 'b'] })).toBe(needKey({ tags: ['b', 'a', 'b'] }))
  const keys = [
    { tags: ['a,b'] },
    { tags: ['a', 'b'] },
    { tags: ['a'] },
    { memory: 1 },
    { tags: ['a'], memory: 1 },
  ]
  expect(new Set(keys.map(needKey)).size).toBe(keys.length)
  for (const need of keys) expect(needKey(need)).toMatch(/^[A-Za-z0-9_-]{1,64}$/)
  expect(meets({ tags: ['gpu'], memory: 8 }, { tags: ['big', 'gpu'], memory: 8 })).toBe(true)
  expect(meets({ tags: ['gpu'] }, { tags: ['big'], memory: 8 })).toBe(false)
  expect(meets({ memory: 9 }, { tags: [], memory: 8 })).toBe(false)
})
