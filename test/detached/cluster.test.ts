/** Detached jobs on three servers, one of which dies. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Cluster } from '../../src/api/cluster.ts'
import { connect } from '../../src/api/connect.ts'
import { Driver } from '../../src/detached/driver.ts'
import { write } from '../../src/detached/record.ts'
import { Store } from '../../src/detached/store.ts'
import { writeInsistently } from '../../src/detached/stream.ts'
import { request } from '../../src/nats/api.ts'
import { openConnection } from '../../src/nats/connection.ts'
import { detached } from '../../src/nats/detached.ts'
import { parseLink } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { Agent } from '../../src/node/agent.ts'
import { freePort, type Nats, startNats } from '../helpers/nats-server.ts'

const TASKS = 300

/** A cluster of three servers, which end with the test. */
async function three(): Promise<Nats[]> {
  const routes = await Promise.all([freePort(), freePort(), freePort()])
  const urls = routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ')
  const servers = await Promise.all(
    routes.map((port, i) =>
      startNats({
        config: `server_name: s${i}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${urls}] }`,
      }),
    ),
  )
  onTestFinished(async () => void (await Promise.all(servers.map((server) => server.stop()))))
  return servers
}

const linkTo = (servers: Nats[]): string =>
  `nats://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`

test('a server of three is killed midway: every task has its one outcome', async () => {
  const servers = await three()
  const link = linkTo(servers)
  const agent = await again(() => Agent.start(link, { slots: 2 }))
  onTestFinished(() => agent.stop())
  const driver = await again(() => Driver.start(link))
  onTestFinished(() => driver.stop())
  const cluster: Cluster = await again(() => connect(link))
  onTestFinished(() => cluster.close())
  const slow = cluster.distribute(async (n: number) => {
    await new Promise((resolve) => setTimeout(resolve, 10))
    return n * 2
  })
  const job = await slow.submit(
    Array.from({ length: TASKS }, (_, n) => n),
    { detached: true },
  )
  while ((await job.progress()).done < TASKS / 10) await sleep(50)
  await servers[0]?.kill('SIGKILL')
  const results = await job.results()
  expect(results).toEqual(Array.from({ length: TASKS }, (_, n) => n * 2))
  expect(await job.progress()).toMatchObject({ done: TASKS, failed: 0 })
  await job.remove()
  expect(await cluster.jobs()).toEqual([])
}, 120_000)

test('what was confirmed is read, though a replica lags behind', async () => {
  const servers = await three()
  const agent = await again(() => Agent.start(linkTo(servers), { slots: 1 }))
  onTestFinished(() => agent.stop())
  const connection = await openConnection(parseLink(linkTo(servers)), {
    role: 'client',
    identity: newIdentity('test'),
  })
  onTestFinished(() => connection.close())
  const { cluster } = await request<{ cluster: { leader: string } }>(connection, 'STREAM.INFO.J_main')
  const own = connection.nc.info?.server_name
  const slow = servers[
    ['s0', 's1', 's2'].findIndex((name) => name !== cluster.leader && name !== own)
  ] as Nats
  // Replicas of a new stream answer after ten seconds.
  await sleep(11_000)
  const store = new Store(connection)
  const subject = detached.want('main', 'job')
  for (let round = 1; round <= 600; ) {
    process.kill(slow.pid, 'SIGSTOP')
    for (let at = 0; at < 30; at++)
      await writeInsistently(connection, subject, write({ cancel: false, round: round++ }))
    const wants = Promise.all(Array.from({ length: 20 }, () => store.want('job')))
    process.kill(slow.pid, 'SIGCONT')
    expect(new Set((await wants).map(({ value }) => value.round))).toEqual(new Set([round - 1]))
  }
}, 120_000)

/** The first election takes a few seconds, on a busy machine more than 20. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (performance.now() - began > 60_000) throw error
      await sleep(500)
    }
  }
}
