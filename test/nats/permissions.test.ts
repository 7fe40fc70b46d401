/** That the permissions are enough, in either form of acknowledgements. What they refuse: test/server/. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Blobs } from '../../src/nats/blobs.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { ensureNeed, layOut } from '../../src/nats/layout.ts'
import { parseLink, ROLES, type Role } from '../../src/nats/link.ts'
import { isRelayed } from '../../src/nats/messages.ts'
import { permissionsOf } from '../../src/nats/permissions.ts'
import { inboxOf, newIdentity, subjects } from '../../src/nats/subjects.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { pull } from './pull.ts'

const USERS = { anna: 'client', worker: 'node', eve: 'viewer' } as const
type User = keyof typeof USERS

const config = (more = '') =>
  `${more}
  accounts { A { jetstream: enabled, users: ${JSON.stringify(
    Object.entries(USERS).map(([user, role]) => {
      const { publish, subscribe } = permissionsOf(role, user, 'main')
      return {
        user,
        password: 'x',
        permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } },
      }
    }),
  )} } }`

let nats: Nats
const open = async (user: User): Promise<Connection> => {
  const link = parseLink(`dicomp://${user}:x@127.0.0.1:${nats.port}/main`)
  const connection = await openConnection(link, { role: USERS[user], identity: newIdentity(user) })
  onTestFinished(() => connection.close())
  return connection
}

beforeAll(async () => {
  nats = await startNats({ config: config() })
})
afterAll(() => nats.stop())

describe.each([
  ['acknowledgements as they are', ''],
  ['acknowledgements with domain and account', 'feature_flags { js_ack_fc_v2: true }'],
])('what the protocol needs is allowed, %s', (_, flags) => {
  beforeAll(async () => {
    await nats.kill('SIGTERM')
    await nats.restart(config(flags))
  })

  test('layout, a task, its lease, its result and its values', async () => {
    const [client, node, viewer] = [await open('anna'), await open('worker'), await open('eve')]
    const refused: Error[] = []
    for (const each of [client, node, viewer]) each.onError((error) => refused.push(error))
    await layOut(node)
    const key = await ensureNeed(node, { tags: ['gpu'] })

    const heard = new Promise((resolve) =>
      viewer.nc.subscribe(subjects.heartbeats('main'), {
        max: 1,
        callback: (_, msg) => resolve(msg.subject),
      }),
    )
    await viewer.nc.flush()
    node.nc.publish(subjects.heartbeat('main', node.identity), 'here')
    expect(await heard).toBe(subjects.heartbeat('main', node.identity))

    const ref = await new Blobs(client).put(new Uint8Array(3000).fill(7))
    const results = client.nc.subscribe(subjects.client(client.identity), { max: 1 })
    await client.request(subjects.task('main', 'p1', key, client.identity), ref.hash, { timeout: 2000 })
    const task = await pull(node, `p1_${key}`, 2000)
    expect(task?.reply?.split('.').length).toBeGreaterThanOrEqual(flags === '' ? 9 : 11)
    const got = await new Blobs(node).get({ hash: task?.string() ?? '', size: 3000 })
    const result = await new Blobs(node).put(got.map((x) => x + 1))
    node.nc.publish(task?.reply ?? '', '+WPI')
    node.nc.publish(subjects.client(client.identity), result.hash)
    for await (const msg of results) expect(msg.string()).toBe(result.hash)
    const confirmed = node.nc.subscribe(subjects.allOfNode(node.identity), { max: 1 })
    await node.nc.flush()
    client.nc.publish(subjects.node(node.identity, client.identity), 'confirm')
    for await (const msg of confirmed) expect(msg.string()).toBe('confirm')
    // An acknowledgement with a reply is answered once it counts.
    await node.request(task?.reply ?? '', '+ACK', { timeout: 2000 })
    const left = await client.request('$JS.API.STREAM.INFO.T_main', '', { timeout: 2000 })
    expect(left.json<{ state: { messages: number } }>().state.messages).toBe(0)

    await new Blobs(client).remove(ref)
    await new Blobs(client).remove(result)
    expect(refused).toEqual([])
  })

  test('a client cannot lay out, and is told so', async () => {
    const client = await open('anna')
    await client.request('$JS.API.STREAM.INFO.T_main', '', { timeout: 2000 })
    await expect(ensureNeed(client, { tags: ['x'] })).rejects.toMatchObject({ code: 'DICOMP_E_ACCESS' })
  })
})

test('what comes back through the object store is marked as such: a node cannot submit in a roundabout way', async () => {
  const [client, node] = [await open('anna'), await open('worker')]
  await layOut(node)
  await node.request('$O.dicomp_main.C.x', 'a task that no client sent', { timeout: 2000 })
  // The server answers to any subject that a request names.
  const reply = subjects.task('main', 'p1', 'any', client.identity)
  node.nc.publish('$JS.API.DIRECT.GET.OBJ_dicomp_main.$O.dicomp_main.C.x', '', { reply })
  const task = await pull(node, 'p1_any', 2000)
  expect(task?.string()).toBe('a task that no client sent')
  expect(task && isRelayed(task)).toBe(true)
  await client.request(reply, 'a task', { timeout: 2000 })
  const honest = await pull(node, 'p1_any', 2000)
  expect(honest && isRelayed(honest)).toBe(false)
})

test('names that would grant more than they say are no names', () => {
  for (const role of ROLES)
    for (const name of ['*', '>', 'a b', '', 'a*'])
      expect(() => permissionsOf(role, name, 'main')).toThrow(TypeError)
  expect(() => permissionsOf('client', 'anna', 'main.>')).toThrow(TypeError)
  expect(() => permissionsOf('admin' as Role, 'anna', 'main')).toThrow(TypeError)
  expect(permissionsOf('client', 'anna.x1', 'main')).toEqual(permissionsOf('client', 'anna', 'main'))
  expect(permissionsOf('viewer', 'eve', 'main').subscribe).toContain(`${inboxOf('eve')}.>`)
})
