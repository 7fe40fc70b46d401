/** `dicomp up`, `dicomp token` and `dicomp engine` as their users see them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { openConnection } from '../../src/nats/connection.ts'
import { parseLink } from '../../src/nats/link.ts'
import { readMessage } from '../../src/nats/messages.ts'
import { newIdentity, subjects } from '../../src/nats/subjects.ts'
import { birthOf } from '../../src/server/processes.ts'
import { filesOf } from '../../src/server/state.ts'
import { dicomp, type Running, start, until } from '../cli/command.ts'
import { freePort, startNats } from '../helpers/nats-server.ts'
import { folder } from './cluster.ts'

const SEED = /SU[A-Z2-7]{56}/
const LIMITS = ['--memory-limit', '64MiB', '--disk-limit', '100MiB']

interface Up {
  event: 'up'
  join: string
  client: string
  folder: string
  node?: string
  server: { pid: number; version: string }
}

let dir: string
let port: string
beforeEach(async () => {
  dir = join(await folder(), 'cluster')
  port = String(await freePort())
})

const here = (...more: string[]) => ['up', '--data', dir, '--port', port, ...LIMITS, ...more]

async function startUp(...more: string[]): Promise<{ running: Running; up: Up; events: () => object[] }> {
  const running = start(here('--json', ...more))
  const events = () =>
    running.output.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as object)
  const ended = running.ended.then(({ stderr }) => {
    throw new Error(`It ended: ${stderr}`)
  })
  await Promise.race([until(() => running.output.stdout.includes('\n')), ended])
  ended.catch(() => {}) // it will, in time
  return { running, up: events()[0] as Up, events }
}

async function stop({ child, ended }: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  child.kill(signal)
  return (await ended).code
}

describe('dicomp up', () => {
  test('a cluster with this computer in it; SIGTERM ends all of it; again it has the same links', async () => {
    const { running, up, events } = await startUp('--slots', '1')
    expect(up).toMatchObject({
      event: 'up',
      pool: 'main',
      folder: dir,
      node: expect.any(String),
      server: { version: expect.stringMatching(/^2\./) },
    })
    expect(parseLink(up.join)).toMatchObject({ role: 'node', servers: [`127.0.0.1:${port}`], tls: true })
    const link = parseLink(up.client)
    const client = await openConnection(link, { role: 'client', identity: newIdentity(link.name) })
    const beat = new Promise((resolve) =>
      client.nc.subscribe(subjects.heartbeats('main'), {
        callback: (_, { data }) => {
          const heartbeat = readMessage(data, ['heartbeat'])
          if (heartbeat) resolve([heartbeat.name, heartbeat.slots])
        },
      }),
    )
    client.nc.publish(subjects.roll('main'))
    expect(await beat).toEqual([up.node, 1])
    await client.close()

    expect(await stop(running)).toBe(0)
    expect(events().at(-1)).toEqual({ event: 'ending' })
    expect(await birthOf(up.server.pid)).toBeUndefined()
    expect(readdirSync(dir)).not.toContain('up.json')

    const second = await startUp('--no-node')
    expect([second.up.join, second.up.client]).toEqual([up.join, up.client])
    expect(second.up.node).toBeUndefined()
    expect(await stop(second.running, 'SIGINT')).toBe(0)
  })

  test('no secret in what a service writes into its journal, nor in any command line', async () => {
    const running = start(here('--slots', '1'))
    await until(() => running.output.stdout.includes('DICOMP_URL'))
    const files = filesOf(dir)
    const seeds = ['node', 'client'].map((name) => SEED.exec(readFileSync(files.link(name), 'utf8'))?.[0])
    expect(seeds).toEqual([expect.stringMatching(SEED), expect.stringMatching(SEED)])
    if (process.platform === 'linux') {
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        let line = ''
        try {
          line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        } catch {
          // It has ended.
        }
        for (const seed of seeds) expect(line).not.toContain(seed)
      }
    }
    expect(await stop(running)).toBe(0)
    const { stdout, stderr } = running.output
    expect(stdout + stderr).not.toMatch(SEED)
    expect(stdout).toContain(`npx dicomp join @${files.link('node')}`)
    expect(stdout).toContain(`export DICOMP_URL="$(cat ${files.link('client')})"`)
    expect(readFileSync(files.log, 'utf8')).not.toMatch(SEED)
  })

  test('a second one for the same folder, or the same port, is told so', async () => {
    const { running } = await startUp('--no-node')
    const same = await dicomp(here('--no-node'))
    expect(same.code).toBe(1)
    expect(same.stderr).toMatch(/DICOMP_E_UP: The cluster in .* is up already \(process \d+\)\n {2}Fix: /)
    const other = await dicomp(['up', '--no-node', '--data', `${dir}-2`, '--port', port, ...LIMITS])
    expect(other.code).toBe(1)
    expect(other.stderr).toMatch(/DICOMP_E_UP: Cannot listen at 127\.0\.0\.1:\d+: another program listens/)
    expect(readdirSync(`${dir}-2`)).not.toContain('up.json')
    expect(await stop(running)).toBe(0)
  })

  test('nats-server is killed: it is there again, with its queues', async () => {
    const { running, up, events } = await startUp('--no-node')
    const link = parseLink(up.client)
    const client = await openConnection(link, { role: 'client', identity: newIdentity(link.name) })
    process.kill(up.server.pid, 'SIGKILL')
    await until(() => running.output.stdout.includes('server-back'))
    expect(events().slice(1)).toEqual([
      { event: 'server-died', how: 'SIGKILL' },
      { event: 'server-back', pid: expect.any(Number) },
    ])
    await until(() => client.up)
    const reply = await client.nc.request('$JS.API.STREAM.INFO.T_main')
    expect(reply.json()).toMatchObject({ config: { name: 'T_main' } })
    await client.close()
    expect(await stop(running)).toBe(0)
  })

  test('`up` itself is killed: the next one ends the server that it left, and goes on', async () => {
    const first = await startUp('--no-node')
    first.running.child.kill('SIGKILL')
    await first.running.ended
    expect(await birthOf(first.up.server.pid)).toBeDefined()
    const second = await startUp('--no-node')
    expect(second.up.join).toBe(first.up.join)
    expect(await birthOf(first.up.server.pid)).toBeUndefined()
    expect(await stop(second.running)).toBe(0)
  })

  test.each([
    [['--port', '0'], /--port.*whole number from 1/],
    [['--port', '65536'], /1 to 65535/],
    [['--pool', 'a.b'], /--pool must be up to 64 letters/],
    [['--host', '10.0.0.5:4222'], /--host must be an address or a name/],
    [['--advertise', 'a b'], /--advertise must be an address or a name/],
    [['--memory-limit', '2MB'], /--memory-limit must be 64 MB or more/],
    [['--disk-limit', 'much'], /size like 500MB/],
    [['--slots', '0'], /whole number from 1/],
  ])('%j is refused', async (options, message) => {
    const { code, stderr } = await dicomp(['up', '--data', dir, ...options])
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
  })

  test('without a nats-server it says how to get one', async () => {
    const { code, stderr } = await dicomp(here(), {
      env: { DICOMP_NATS_SERVER: '', DICOMP_HOME: await folder(), PATH: await folder() },
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/DICOMP_E_SERVER_MISSING: There is no nats-server on this computer.*\n {2}Fix: /)
  })
})

describe('dicomp up --engine: a nats-server that runs already', () => {
  test('lays out queues, and again changes nothing; a node works for it until Ctrl-C', async () => {
    const nats = await startNats()
    const file = join(await folder(), 'engine.link')
    writeFileSync(file, `${nats.url}\n`)
    try {
      for (let i = 0; i < 2; i++) {
        const { code, stdout } = await dicomp(['up', '--engine', `@${file}`, '--no-node'])
        expect(stdout).toContain('The engine is ready: ')
        expect(code).toBe(0)
      }
      const running = start(['up', '--engine', nats.url, '--slots', '1', '--json'])
      await until(() => running.output.stdout.includes('\n'))
      const up = JSON.parse(running.output.stdout.split('\n')[0] ?? '') as Up
      expect(parseLink(up.join).servers).toEqual([`127.0.0.1:${nats.port}`])
      expect(up.node).toEqual(expect.any(String))
      expect(await stop(running, 'SIGINT')).toBe(0)
    } finally {
      await nats.stop()
    }
  })

  test('a token for it: with the printed user in its configuration, the link is let in', async () => {
    const nats = await startNats()
    try {
      expect((await dicomp(['up', '--engine', nats.url, '--no-node'])).code).toBe(0)
      const made = await dicomp(['token', 'new', 'ann', '--engine', nats.url, '--json'])
      const { link, user } = JSON.parse(made.stdout) as { link: string; user: { permissions: object } }
      expect(JSON.stringify(user)).not.toMatch(SEED)
      const enter = () => openConnection(parseLink(link), { role: 'client', identity: newIdentity('ann') })
      await nats.reload('authorization { user: other, password: other }')
      await expect(enter()).rejects.toMatchObject({ code: 'DICOMP_E_ACCESS' })
      await nats.reload(`authorization ${JSON.stringify({ users: [user] })}`)
      const client = await enter()
      const stream = await client.nc.request('$JS.API.STREAM.INFO.T_main')
      expect(stream.json()).toMatchObject({ config: { name: 'T_main' } })
      const objection = new Promise<Error>((resolve) => client.onError(resolve))
      client.nc.publish('$JS.API.STREAM.DELETE.T_main')
      expect((await objection).message).toMatch(/permissions violation/i)
      await client.close()
    } finally {
      await nats.stop()
    }
  })

  test('nobody listens there', async () => {
    const { code, stderr } = await dicomp(['up', '--engine', `nats://127.0.0.1:${port}`, '--no-node'])
    expect(stderr).toMatch(/DICOMP_E_CONNECT: No nats-server answers at 127\.0\.0\.1:\d+/)
    expect(code).toBe(1)
  })
})

describe('dicomp token', () => {
  test('new, list, revoke, while the cluster is up', async () => {
    const { running, up } = await startUp('--no-node')
    const made = await dicomp(['token', 'new', 'ann', '--expires', '7d', '--data', dir])
    expect(made.stderr).toContain('A link for "ann" (client, until ')
    const link = parseLink(made.stdout.trim())
    expect(link).toMatchObject({ name: 'ann', role: 'client', cluster: parseLink(up.client).cluster })
    expect(link.expires).toBeGreaterThan(Date.now() / 1000 + 6 * 86_400)
    const client = await openConnection(link, { role: 'client', identity: newIdentity('ann') })

    const listed = await dicomp(['token', 'list', '--data', dir])
    expect(listed.stdout).toMatch(/^NAME +ROLE +STATUS/)
    expect(listed.stdout).toMatch(/^ann +client +valid +\d{4}-/m)
    expect(listed.stdout).not.toMatch(SEED)

    const revoked = await dicomp(['token', 'revoke', 'ann', '--json', '--data', dir])
    expect(JSON.parse(revoked.stdout)).toMatchObject({ name: 'ann', status: 'revoked', live: true })
    expect(await client.closed).toMatchObject({ code: 'DICOMP_E_ACCESS' })
    const json = JSON.parse((await dicomp(['token', 'list', '--json', '--data', dir])).stdout) as object[]
    expect(json).toContainEqual(expect.objectContaining({ name: 'ann', status: 'revoked' }))
    expect(JSON.stringify(json)).not.toMatch(/S?U[A-Z2-7]{55}/)
    expect(await stop(running)).toBe(0)
  })

  test.each([
    [['new'], 2, /needs the name/],
    [['revoke'], 2, /needs the name/],
    [['list', 'ann'], 2, /takes no name/],
    [['list', '--role', 'node'], 2, /takes no --role/],
    [['revoke', 'ann', '--engine', 'nats://a'], 2, /takes no --engine/],
    [['new', 'a.b', '--engine', 'nats://a'], 2, /Expected the name of a token/],
    [['new', 'ann', '--role', 'king'], 2, /Allowed choices are client, node, viewer/],
    [['new', 'ann', '--expires', 'soon'], 2, /It must be a time like/],
    [['burn', 'ann'], 2, /Allowed choices are new, list, revoke/],
    [['new', 'ann'], 1, /DICOMP_E_UP: No cluster was started in /],
    [['list'], 1, /DICOMP_E_UP: No cluster was started in /],
  ])('%j is refused', async (args, code, message) => {
    const ended = await dicomp(['token', ...args, '--data', dir])
    expect(ended.stderr).toMatch(message)
    expect(ended.code).toBe(code)
    expect(ended.stdout).toBe('')
  })
})

test('dicomp engine status', async () => {
  const none = await dicomp(['engine', 'status', '--data', dir])
  expect(none.stdout).toMatch(/^nats-server \d+\.\d+\.\d+: .*\nNo cluster is up in /)
  const { running } = await startUp('--no-node')
  const { stdout } = await dicomp(['engine', 'status', '--json', '--data', dir])
  expect(JSON.parse(stdout)).toMatchObject({
    server: { version: expect.any(String) },
    cluster: { up: true, process: running.child.pid, address: `127.0.0.1:${port}`, pool: 'main' },
  })
  expect(await stop(running)).toBe(0)
})
