/** Detached jobs on three servers, one of which dies. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Cluster } from '../../src/api/cluster.ts'
import { connect } from '../../src/api/connect.ts'
import { Driver } from '../../src/detached/driver.ts'
import { Agent } from '../../src/node/agent.ts'
import { freePort, startNats } from '../helpers/nats-server.ts'

const TASKS = 300

test('a server of three is killed midway: every task has its one outcome', async () => {
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
  const link = `nats://${servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`
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

/** The first election takes a few seconds. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries === 5) throw error
      await sleep(500)
    }
  }
}
