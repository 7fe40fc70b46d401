/** What tasks can and cannot do in a sandbox. Needs bubblewrap, and a system that lets it work. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cacheDir } from '../../src/capture/cache.ts'
import { OutOfMemoryError, TaskTimeoutError } from '../../src/errors.ts'
import { residentBytes, residentBytesOfAll } from '../../src/slot/memory.ts'
import { eventually, processesWith } from '../slots/leftovers.ts'
import { setUp } from './setup.ts'

const setup = setUp()
const works = spawnSync('bwrap', ['--ro-bind', '/', '/', '--unshare-all', 'true']).status === 0

describe.runIf(works)('a sandbox', () => {
  it('keeps files, processes and the network from tasks', async () => {
    const { client } = setup
    await setup.join({ isolation: 'sandbox' })
    const secret = join(setup.dir, 'secret')
    writeFileSync(secret, 'hidden')
    const body = `
      const fs = process.getBuiltinModule('node:fs')
      const tried = {}
      const attempt = async (name, act) => {
        try { tried[name] = await act() } catch (error) { tried[name] = error.code ?? error.cause?.code }
      }
      await attempt('read', () => fs.readFileSync(arg.secret, 'utf8'))
      await attempt('passwords', () => fs.readFileSync('/etc/shadow', 'utf8'))
      await attempt('write', () => fs.writeFileSync('/usr/here', ''))
      await attempt('own', () => { fs.writeFileSync('/tmp/own', 'x'); return fs.readFileSync('/tmp/own', 'utf8') })
      await attempt('network', () => new Promise((resolve, reject) => {
        process.getBuiltinModule('node:net').connect(arg.port, '127.0.0.1').on('connect', resolve).on('error', reject)
      }))
      tried.processes = fs.readdirSync('/proc').filter((name) => /^\\\\d+$/.test(name)).length
      tried.home = process.env.HOME
      return tried`
    await client.task({ chunk: 1, inputs: [{ secret, port: setup.nats.port }], body })
    const { values } = await client.results(1)
    const tried = values.get(0) as { processes: number }
    expect(tried).toMatchObject({
      read: 'ENOENT',
      passwords: 'ENOENT',
      write: 'EROFS',
      own: 'x',
      home: '/tmp',
      network: 'ECONNREFUSED',
    })
    expect(tried.processes).toBeLessThan(5)
    expect(existsSync('/tmp/own')).toBe(false)
  })

  it('lets tasks distribute tasks of their own', async () => {
    const { client } = setup
    await setup.join({ isolation: 'sandbox', slots: 2 })
    const body = 'const inner = distribute((n) => n + 1); return (await inner.map([1, 2, 3])).concat(arg)'
    await client.task({ chunk: 1, inputs: [9], body })
    expect((await client.results(1)).values.get(0)).toEqual([2, 3, 4, 9])
  })

  it('ends with its slot: stopped tasks and killed ones leave nothing', async () => {
    const { client } = setup
    const agent = await setup.join({ isolation: 'sandbox' })
    const spec = { timeout: 100, solo: true }
    await client.task({ chunk: 1, inputs: [1], body: 'for (;;);', spec })
    expect((await client.results(1)).lost.get(0)).toBeInstanceOf(TaskTimeoutError)
    const [folder] = readdirSync(cacheDir()).filter((name) => name.startsWith('sandbox-'))
    expect(processesWith(folder as string).length).toBeGreaterThan(0)
    await agent.stop()
    await eventually(() => expect(processesWith(folder as string)).toEqual([]))
    expect(readdirSync(cacheDir()).filter((name) => name.startsWith('sandbox-'))).toEqual([])
  })

  it('has the memory that it may have', async () => {
    const { client } = setup
    await setup.join({ isolation: 'sandbox', memory: 100e6 })
    const body = `
      const kept = []
      for (;;) {
        kept.push(Buffer.alloc(5e6, 1))
        await new Promise((resolve) => setTimeout(resolve, 5))
      }`
    await client.task({ chunk: 1, inputs: [1], body })
    expect((await client.results(1)).lost.get(0)).toBeInstanceOf(OutOfMemoryError)
  })
})

it.runIf(process.platform === 'linux')('memory is that of all processes of a slot', async () => {
  const script = 'const kept = Buffer.alloc(80e6, 1); setInterval(() => kept, 1000)'
  // The shell stays, since something comes after.
  const shell = spawn('/bin/sh', ['-c', `"$0" -e '${script}'; true`, process.execPath], { detached: true })
  try {
    const pid = shell.pid as number
    await eventually(() => expect(residentBytesOfAll(pid)).toBeGreaterThan(80e6))
    expect(residentBytes(pid)).toBeLessThan(80e6)
  } finally {
    process.kill(-(shell.pid as number), 'SIGKILL')
  }
})

it('a node without bubblewrap says how to get it', async () => {
  const { PATH } = process.env
  process.env.PATH = '/nowhere'
  try {
    await expect(setup.join({ isolation: 'sandbox' })).rejects.toThrow(
      process.platform === 'linux' ? 'needs bubblewrap' : 'needs Linux',
    )
  } finally {
    process.env.PATH = PATH
  }
})
