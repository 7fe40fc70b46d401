/** A full store, results whose time is over, hostile messages, tasks that kill their slots, roles. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { connect } from '../../src/api/connect.ts'
import { Driver } from '../../src/detached/driver.ts'
import { Store } from '../../src/detached/store.ts'
import { write } from '../../src/detached/stream.ts'
import { ConnectError, SlotCrashedError } from '../../src/errors.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { detached } from '../../src/nats/detached.ts'
import { parseLink } from '../../src/nats/link.ts'
import { permissionsOf } from '../../src/nats/permissions.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { Agent } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { setUp, until } from './world.ts'

vi.setConfig({ testTimeout: 60_000 })

describe('on a server of its own', () => {
  const world = setUp()

  test('results whose time is over are removed', async () => {
    await world.node()
    await world.driver()
    const cluster = await world.client()
    const plus = cluster.distribute((n: number) => n + 1)
    const short = await plus.submit([1], { detached: true, keep: '1ms' })
    const long = await plus.submit([1], { detached: true })
    expect(await short.done()).toBe('done')
    expect(await long.done()).toBe('done')
    await world.driver()
    await until(() => world.events.some(({ type }) => type === 'removed'))
    expect((await cluster.jobs()).map(({ id }) => id)).toEqual([long.id])
    await long.remove()
  })

  test('a server on which nobody has made a store says so', async () => {
    const cluster = await connect(`${world.nats.url}/nobody`)
    onTestFinished(() => cluster.close())
    const submitted = cluster.distribute((n: number) => n + 1).submit([1], { detached: true })
    await expect(submitted).rejects.toMatchObject({
      code: 'DICOMP_E_SERVER',
      message: expect.stringContaining('has no store of detached jobs for the pool nobody'),
      fix: expect.stringContaining('dicomp up'),
    })
  })

  test('a job that fell out of the queue is found by the next driver', async () => {
    await world.node()
    const cluster = await world.client()
    const job = await cluster.distribute((n: number) => n + 1).submit([1], { detached: true })
    const connection = await world.connection()
    await connection.nc.request('$JS.API.STREAM.PURGE.Q_main')
    await world.driver()
    expect(await job.results()).toEqual([2])
    await job.remove()
  })

  test('a task that kills its slots is held, the others go on; retry runs it again', async () => {
    await world.node()
    await world.driver()
    const cluster = await world.client()
    const kills = cluster.distribute((n: number) => {
      if (n === 1) process.kill(process.pid, 'SIGKILL')
      return n
    })
    const job = await kills.submit([0, 1, 2], { detached: true })
    const outcomes = await job.settled()
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((outcomes[1] as PromiseRejectedResult).reason).toBeInstanceOf(SlotCrashedError)
    await job.retry()
    expect(await job.done()).toBe('failed')
    expect(await job.progress()).toMatchObject({ done: 2, failed: 1 })
    await job.remove()
  })

  test('what is no job is dropped, wherever it is', async () => {
    await world.node()
    await world.driver()
    const cluster = await world.client()
    const connection = await world.connection()
    const job = await cluster.distribute((n: number) => n + 1).submit([1], { detached: true })
    await job.done()
    const noise = Uint8Array.from({ length: 200 }, (_, at) => at * 37)
    for (const of of [
      detached.record,
      detached.want,
      detached.state,
      detached.out,
      detached.log,
      detached.todo,
    ])
      await write(connection, of('main', 'nobody'), noise)
    await write(connection, detached.out('main', job.id), noise)
    await write(connection, detached.log('main', job.id), noise)
    await write(connection, detached.want('main', job.id), noise)
    expect(await job.results()).toEqual([2])
    for await (const _ of job.logs()) expect.unreachable()
    expect((await cluster.jobs()).map(({ id }) => id)).toEqual([job.id])
    await expect(cluster.job('nobody')).rejects.toThrow('There is no job "nobody"')
    await until(async () => (await world.messages()).Q === 0)
    await new Store(connection).remove('nobody')
    await job.remove()
    expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
    expect(world.events.filter(({ type }) => type === 'trouble')).toEqual([])
  })
})

test('a full disk stops the job and loses nothing; it goes on when there is room', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-full-'))
  const config = `jetstream { store_dir: "${dir}", max_file_store: 8MB }`
  const nats = await startNats({ jetstream: false, config })
  const agent = await Agent.start(nats.url, { slots: 2 })
  const driver = await Driver.start(nats.url)
  const cluster = await connect(nats.url)
  onTestFinished(async () => {
    await cluster.close()
    await driver.stop()
    await agent.stop()
    await nats.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  const fill = cluster.distribute((n: number) => new Uint8Array(100_000).map((_, at) => at * n))
  const first = await fill.submit(new Array(45).fill(3), { detached: true })
  expect(await first.done()).toBe('done')
  const second = await fill.submit(new Array(50).fill(5), { detached: true })
  const store = new Store(
    await openConnection(parseLink(nats.url), { role: 'client', identity: newIdentity('x') }),
  )
  onTestFinished(() => store.connection.close())
  const size = async (): Promise<number> => {
    const info = await store.connection.nc.request('$JS.API.STREAM.INFO.R_main')
    return info.json<{ state: { bytes: number } }>().state.bytes
  }
  await until(async () => (await size()) > 7_000_000)
  await expect(fill.submit([new Uint8Array(2_000_000) as never], { detached: true })).rejects.toMatchObject({
    code: 'DICOMP_E_STORE_FULL',
  })
  expect(await second.state()).toBe('running')
  await first.remove()
  const results = await second.results()
  expect(results).toHaveLength(50)
  expect(results.every((bytes) => bytes.length === 100_000 && bytes[1] === 5)).toBe(true)
})

describe('roles', () => {
  const ROLES = { anna: 'client', worker: 'node', eve: 'viewer' } as const
  let nats: Nats
  const link = (user: keyof typeof ROLES): string => `dicomp://${user}:x@127.0.0.1:${nats.port}/main`
  const open = async (user: keyof typeof ROLES): Promise<Connection> => {
    const connection = await openConnection(parseLink(link(user)), {
      role: ROLES[user],
      identity: newIdentity(user),
    })
    onTestFinished(() => connection.close())
    return connection
  }
  beforeAll(async () => {
    const users = Object.entries(ROLES).map(([user, role]) => {
      const { publish, subscribe } = permissionsOf(role, user, 'main')
      return {
        user,
        password: 'x',
        permissions: { publish: { allow: publish }, subscribe: { allow: subscribe } },
      }
    })
    nats = await startNats({ config: `authorization { users: ${JSON.stringify(users)} }` })
  })
  afterAll(() => nats.stop())

  test('a client may have jobs and drive them, and needs nothing else', async () => {
    const agent = await Agent.start(link('worker'), { slots: 1 })
    const troubles: unknown[] = []
    const driver = await Driver.start(link('anna'), {
      onEvent: (event) => event.type === 'trouble' && troubles.push(event),
    })
    const cluster = await connect(link('anna'))
    onTestFinished(async () => {
      await cluster.close()
      await driver.stop()
      await agent.stop()
    })
    const job = await cluster
      .distribute((n: number) => {
        console.log('hello')
        return n + 1
      })
      .submit([1], { detached: true })
    const lines: string[] = []
    for await (const { text } of job.logs({ follow: true })) lines.push(text)
    expect(lines).toEqual(['hello\n'])
    expect(await job.results()).toEqual([2])
    expect(await job.info()).toMatchObject({ user: 'anna' })
    await job.cancel()
    await job.remove()
    await driver.stop()
    const store = new Store(await open('anna'))
    const untaken = await cluster.distribute((n: number) => n).submit([1], { detached: true })
    expect(await store.drivers()).toMatchObject({ untaken: 1 })
    await untaken.remove()
    expect(await store.drivers()).toMatchObject({ untaken: 0 })
    expect(troubles).toEqual([])
  })

  test.each(['worker', 'eve'] as const)('%s may neither read nor change them', async (user) => {
    const agent = await Agent.start(link('worker'), { slots: 1 })
    onTestFinished(() => agent.stop())
    const connection = await open(user)
    const store = new Store(connection)
    await expect(store.list()).rejects.toThrow(ConnectError)
    await expect(store.enqueue('x')).rejects.toMatchObject({ code: 'DICOMP_E_ACCESS' })
    await expect(store.purge('x')).rejects.toMatchObject({ code: 'DICOMP_E_ACCESS' })
    for (const of of [detached.record, detached.want, detached.state, detached.out, detached.log])
      await expect(write(connection, of('main', 'x'), new Uint8Array(1))).rejects.toMatchObject({
        code: 'DICOMP_E_ACCESS',
      })
  })
})
