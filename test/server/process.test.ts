/** Our nats-server as a process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { layOut } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { serverFacts } from '../../src/server/admin.ts'
import { createToken, endToken, openCluster } from '../../src/server/cluster.ts'
import { ownerOf, takeOwnership } from '../../src/server/owner.ts'
import { type ServerEvent, startServer } from '../../src/server/process.ts'
import { birthOf, commandOf } from '../../src/server/processes.ts'
import { type ClusterState, filesOf, readState } from '../../src/server/state.ts'
import { linkOf, linkTo } from '../../src/server/tokens.ts'
import { folder, open, wanted } from './cluster.ts'

async function cluster(): Promise<{ dir: string; state: ClusterState }> {
  const dir = await folder()
  return { dir, state: await openCluster(dir, await wanted()) }
}

const own = (state: ClusterState) => linkTo(state, state.own.node, state.own.node.seed, '127.0.0.1')
const secrets = (state: ClusterState) => [
  ...[state.admin, ...Object.values(state.own), ...state.tokens].flatMap(({ seed }) => seed ?? []),
]

test('a server that dies is started again; its clients come back by themselves', async () => {
  const { dir, state } = await cluster()
  const events: ServerEvent[] = []
  let back = () => {}
  const isBack = new Promise<void>((resolve) => {
    back = resolve
  })
  const server = await startServer(dir, {
    onEvent: (event) => {
      events.push(event)
      if (event.type === 'back') back()
    },
  })
  try {
    const client = await open(own(state), 'node')
    await layOut(client)
    const reconnected = new Promise<void>((resolve) => {
      client.onStatus((status) => status === 'reconnected' && resolve())
    })
    const first = server.pid
    process.kill(first, 'SIGKILL')
    await Promise.all([isBack, reconnected])
    expect(events).toEqual([
      { type: 'died', how: 'SIGKILL' },
      { type: 'back', pid: server.pid },
    ])
    expect(server.pid).not.toBe(first)
    await layOut(client)
  } finally {
    await server.stop()
  }
  expect(await birthOf(server.pid)).toBeUndefined()
  expect(events).toHaveLength(2) // being stopped is no death
})

test('stopping while it is being started again ends that, too', async () => {
  const { dir, state } = await cluster()
  let died = () => {}
  const isDead = new Promise<void>((resolve) => {
    died = resolve
  })
  const server = await startServer(dir, { onEvent: (event) => event.type === 'died' && died() })
  process.kill(server.pid, 'SIGKILL')
  await isDead
  await server.stop()
  expect(await birthOf(server.pid)).toBeUndefined()
  expect(await serverFacts(dir, state)).toBeUndefined()
})

test('tokens that are made while it starts count, whenever that is', async () => {
  const { dir } = await cluster()
  const starting = startServer(dir)
  try {
    const links: string[] = []
    let started = false
    void starting.then(() => {
      started = true
    })
    while (!started) {
      links.push((await createToken(dir, { name: `t${links.length}`, role: 'client' })).link)
      await sleep(1)
    }
    expect(links.length).toBeGreaterThan(0)
    const connections = await Promise.all(links.map((link) => open(parseLink(link), 'viewer')))
    expect(connections).toHaveLength(links.length)
  } finally {
    await (await starting).stop()
  }
})

test('it tells how it is, to its owner only', async () => {
  const { dir, state } = await cluster()
  const server = await startServer(dir)
  try {
    const facts = await serverFacts(dir, state)
    expect(facts).toMatchObject({ version: server.version, connections: 1, stored: 0 })
    expect(facts?.memory).toBeGreaterThan(1e6)
    const stranger = { ...state, admin: state.own.node }
    await expect(serverFacts(dir, stranger)).rejects.toMatchObject({ code: 'DICOMP_E_UP' })
  } finally {
    await server.stop()
  }
})

describe('what is on the disk', () => {
  test('its owner alone can read it; no secret is in the configuration, the log or a command line', async () => {
    const { dir, state } = await cluster()
    const server = await startServer(dir)
    try {
      const { link } = await createToken(dir, { name: 'ann', role: 'client' })
      await open(parseLink(link))
      await endToken(dir, 'ann')
      const all = [...secrets(state), parseLink(link).seed ?? '']
      expect(all).toHaveLength(6) // admin, two own, node, client, ann
      const files = filesOf(dir)
      for (const file of [files.config, files.log]) {
        const text = readFileSync(file, 'utf8')
        for (const secret of all) expect(text).not.toContain(secret)
      }
      expect(readFileSync(files.state, 'utf8')).not.toContain(parseLink(link).seed)
      const command = await commandOf(server.pid)
      expect(command).toContain(files.config)
      for (const secret of all) expect(command).not.toContain(secret)
      if (process.platform === 'linux') {
        const every = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
        const lines = every.map((pid) => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          } catch {
            return '' // it has ended
          }
        })
        for (const secret of all) expect(lines.filter((line) => line.includes(secret))).toEqual([])
      }
      for (const name of readdirSync(dir)) {
        expect(statSync(join(dir, name)).mode & 0o077, name).toBe(0)
      }
    } finally {
      await server.stop()
    }
  })

  test('started again it is the same cluster: links stay valid, settings are the new ones', async () => {
    const { dir, state } = await cluster()
    const other = await wanted()
    const again = await openCluster(dir, { ...other, pool: 'second' })
    expect(again).toEqual({ ...state, settings: { ...other, pool: 'second' } })
    const node = again.tokens.find(({ name }) => name === 'node')
    if (!node?.seed) throw new Error('there is no node token')
    expect(readFileSync(filesOf(dir).link('node'), 'utf8').trim()).toBe(linkOf(again, node, node.seed))
    expect(parseLink(linkOf(again, node, node.seed))).toMatchObject({ pool: 'second', role: 'node' })
  })

  test('limits stay where none are given', async () => {
    const dir = await folder()
    const { memoryLimit: _, diskLimit: __, ...settings } = await wanted()
    const first = (await openCluster(dir, settings)).settings
    expect(first.memoryLimit).toBeGreaterThanOrEqual(256 << 20)
    expect(first.diskLimit).toBeGreaterThanOrEqual(256 << 20)
    const second = (await openCluster(dir, { ...settings, diskLimit: 1e9 })).settings
    expect(second).toEqual({ ...first, diskLimit: 1e9 })
    expect((await openCluster(dir, settings)).settings).toEqual(second)
  })

  test('a printed token that was revoked is replaced by another at the next start', async () => {
    const { dir, state } = await cluster()
    await endToken(dir, 'node')
    expect(existsSync(filesOf(dir).link('node'))).toBe(false)
    const again = await openCluster(dir, state.settings)
    const keyOf = (from: ClusterState, name: string) => from.tokens.find((token) => token.name === name)?.key
    expect(keyOf(again, 'node')).not.toBe(keyOf(state, 'node'))
    expect(keyOf(again, 'client')).toBe(keyOf(state, 'client'))
  })
})

describe('what is in the way', () => {
  test('another program at the port', async () => {
    const { dir, state } = await cluster()
    const squatter = createServer().listen(state.settings.port, '127.0.0.1')
    await once(squatter, 'listening')
    await expect(startServer(dir)).rejects.toMatchObject({
      code: 'DICOMP_E_UP',
      message: expect.stringMatching(/^Cannot listen at 127\.0\.0\.1:\d+: another program listens there/),
      fix: expect.stringContaining('--port'),
    })
    squatter.close()
  })

  test('an address that is not of this computer', async () => {
    const dir = await folder()
    await openCluster(dir, { ...(await wanted()), host: '192.0.2.1' })
    await expect(startServer(dir)).rejects.toThrow(/this computer has no such address/)
  })

  test('a configuration that nats-server refuses: its own words', async () => {
    const { dir } = await cluster()
    writeFileSync(filesOf(dir).key, 'no key')
    await expect(startServer(dir)).rejects.toThrow(/nats-server did not start: .*(key|PEM)/)
  })
})

describe('one `up` per folder', () => {
  test('a second one is told of the first', async () => {
    const { dir } = await cluster()
    const release = await takeOwnership(dir)
    expect(await ownerOf(dir)).toBe(process.pid)
    await expect(takeOwnership(dir)).rejects.toThrow(
      `The cluster in ${dir} is up already (process ${process.pid})`,
    )
    release()
    expect(await ownerOf(dir)).toBeUndefined()
    ;(await takeOwnership(dir))()
  })

  test('of ten at once, one gets it', async () => {
    const { dir } = await cluster()
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => takeOwnership(dir)))
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('one that died does not count, nor a process that has its number now', async () => {
    const { dir } = await cluster()
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    const file = filesOf(dir).owner
    writeFileSync(file, JSON.stringify({ pid: child.pid, born: 'once' }))
    expect(await ownerOf(dir)).toBeUndefined()
    writeFileSync(file, JSON.stringify({ pid: process.pid, born: 'earlier' }))
    expect(await ownerOf(dir)).toBeUndefined()
    writeFileSync(file, 'half a fi')
    expect(await ownerOf(dir)).toBeUndefined()
    ;(await takeOwnership(dir))()
  })
})

test('a lock that a killed command left behind is broken', async () => {
  const { dir } = await cluster()
  const lock = `${filesOf(dir).state}.lock`
  writeFileSync(lock, '1')
  utimesSync(lock, new Date(0), new Date(0))
  await createToken(dir, { name: 'after', role: 'client' })
  expect(readState(dir)?.tokens.map(({ name }) => name)).toContain('after')
  expect(existsSync(lock)).toBe(false)
})
