/** Three servers, as one. */
import { randomFillSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { patiently, request } from '../../src/nats/api.ts'
import { Blobs } from '../../src/nats/blobs.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { layOut } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { newIdentity, streamOf, subjects } from '../../src/nats/subjects.ts'
import { freePort, type Nats, startNats } from '../helpers/nats-server.ts'

let servers: Nats[]
let connection: Connection

beforeAll(async () => {
  const routes = await Promise.all([freePort(), freePort(), freePort()])
  const urls = routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')
  servers = await Promise.all(
    routes.map((port, i) =>
      startNats({
        config: `server_name: s${i}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${urls}] }`,
      }),
    ),
  )
  const link = parseLink(`nats://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`)
  // Their first election takes a few seconds.
  for (let tries = 1; ; tries++) {
    try {
      connection = await openConnection(link, { role: 'client', identity: newIdentity() })
      break
    } catch (error) {
      if (tries === 5) throw error
    }
  }
})
afterAll(async () => {
  await connection.close()
  await Promise.all(servers.map((server) => server.stop()))
})

const replicas = async (name: string) =>
  (await request<{ config: { num_replicas: number } }>(connection, `STREAM.INFO.${name}`)).config.num_replicas

test('queue and store are kept by all three; one that is killed takes nothing away', async () => {
  await layOut(connection)
  expect(await replicas(streamOf('main'))).toBe(3)
  expect(await replicas('OBJ_dicomp_main')).toBe(3)
  const bytes = randomFillSync(new Uint8Array(5 << 20))
  const blobs = new Blobs(connection)
  const ref = await blobs.put(bytes)
  const subject = subjects.task('main', 'p1', 'any', newIdentity())
  await connection.request(subject, 'before', { timeout: 5000 })

  const used = servers.find(({ port }) => connection.nc.getServer() === `127.0.0.1:${port}`)
  expect(used).toBeDefined()
  await used?.kill('SIGKILL')
  await connection.untilUp()
  expect(Buffer.compare(await blobs.get(ref), bytes)).toBe(0)
  const other = await blobs.put(bytes.subarray(1))
  expect((await blobs.get(other)).length).toBe(bytes.length - 1)
  await patiently(connection, () => connection.request(subject, 'after', { timeout: 1000 }))
  await layOut(connection)
  const { state } = await request<{ state: { messages: number } }>(
    connection,
    `STREAM.INFO.${streamOf('main')}`,
  )
  // A publication whose answer was lost is there twice.
  expect(state.messages).toBeGreaterThanOrEqual(2)
}, 60_000)
