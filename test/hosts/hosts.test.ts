/**
 * A cluster of four computers: `dicomp up` on one, `dicomp join` on two that have nothing of the project, and a
 * program on the fourth. Cables are taken out while it works.
 */
import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findServer } from '../../src/server/find.ts'
import { type Host, Network, whyNoHosts } from './network.ts'

const exec = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const why = whyNoHosts()
const SLOTS = 2
const PORT = 4222

/** What the user's computer has: a program of several files, and a package that is only there. */
const PROGRAM = {
  'package.json': '{ "type": "module" }',
  'node_modules/only-here/package.json': '{ "name": "only-here", "version": "1.0.0", "type": "module" }',
  'node_modules/only-here/index.js': 'export const triple = (n) => 3 * n',
  'square.js': 'export const square = (n) => n * n',
  'main.js': `
    import { existsSync } from 'node:fs'
    import { hostname } from 'node:os'
    import { distribute, task } from 'dicomp'
    import { triple } from 'only-here'
    import { square } from './square.js'

    const [tasks, ms] = process.argv.slice(2).map(Number)
    const here = import.meta.filename
    const work = distribute(async (n) => {
      await new Promise((resolve) => setTimeout(resolve, ms))
      return { n, value: square(triple(n)), host: hostname(), project: existsSync(here), attempt: task.attempt }
    })
    console.log('started')
    for await (const { index, status, value, reason } of work.stream(Array(tasks).keys(), { settled: true })) {
      console.log(JSON.stringify({ index, status, value, reason: String(reason) }))
    }
    process.exit(0)
  `,
}

interface Line {
  index: number
  status: 'fulfilled' | 'rejected'
  value: { n: number; value: number; host: string; project: boolean; attempt: number }
  reason: string
}

describe.skipIf(why !== undefined)(`real hosts${why ? ` (skipped: ${why})` : ''}`, () => {
  let dir: string
  let network: Network
  let server: Host
  let nodes: [Host, Host]
  let client: Host
  let clientLink: string
  const started: ChildProcess[] = []
  const said: string[] = []

  /** A program with all that it needs: nothing comes from the environment of this test. */
  const start = (host: Host, command: string[], env: Record<string, string> = {}): ChildProcess => {
    const home = join(dir, `home-${host.name}`)
    mkdirSync(home, { recursive: true })
    const child = host.run(command, {
      cwd: home,
      env: { PATH: process.env.PATH, HOME: home, DICOMP_CACHE_DIR: join(home, 'cache'), ...env },
    })
    started.push(child)
    child.stderr?.on('data', (data) => said.push(`${host.name}: ${data}`))
    return child
  }
  const dicomp = (host: Host, args: string[], env: Record<string, string> = {}): ChildProcess =>
    start(host, [process.execPath, join(dir, 'installed/node_modules/dicomp/dist/cli.js'), ...args], env)

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'dicomp-hosts-'))
    const npm = (args: string[], cwd: string) => exec('npm', [...args, '--no-audit', '--no-fund'], { cwd })
    // Without scripts: `npm test` has built dist/ a moment ago.
    const packed = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', dir], root)
    const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }]
    mkdirSync(join(dir, 'installed'))
    await npm(['init', '-y'], join(dir, 'installed'))
    await npm(['install', '--prefer-offline', join(dir, filename)], join(dir, 'installed'))
    const project = join(dir, 'project')
    for (const [name, text] of Object.entries(PROGRAM)) {
      mkdirSync(join(project, name, '..'), { recursive: true })
      writeFileSync(join(project, name), text)
    }
    symlinkSync(join(dir, 'installed/node_modules/dicomp'), join(project, 'node_modules/dicomp'))

    network = new Network()
    server = network.add('server', [project])
    nodes = [network.add('node-a', [project, root]), network.add('node-b', [project, root])]
    client = network.add('client')
    const { path } = await findServer()
    const up = dicomp(
      server,
      [
        'up',
        '--host',
        server.address,
        '--port',
        String(PORT),
        '--no-node',
        '--data',
        join(dir, 'data'),
        '--json',
      ],
      { DICOMP_NATS_SERVER: path },
    )
    const links = await event(up, 'up')
    clientLink = links.client as string
    const file = join(dir, 'node.link')
    writeFileSync(file, links.join as string, { mode: 0o600 })
    await Promise.all(
      nodes.map((host) =>
        event(dicomp(host, ['join', `@${file}`, '--slots', String(SLOTS), '--json']), 'joined'),
      ),
    )
  }, 240_000)

  afterAll(async () => {
    network?.remove()
    await Promise.all(started.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    if (dir) rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })

  /** The event of this name in what a command prints. */
  const event = async (child: ChildProcess, name: string): Promise<Record<string, unknown>> => {
    if (!child.stdout) throw new Error('no output')
    for await (const line of createInterface({ input: child.stdout })) {
      const found = JSON.parse(line) as Record<string, unknown>
      if (found.event !== name) continue
      child.stdout.resume()
      return found
    }
    throw new Error(`it ended before it said "${name}"; ${said.join('')}`)
  }

  /** Runs the program; `meanwhile` begins when its first result is there. */
  const run = async (tasks: number, ms: number, meanwhile = async () => {}): Promise<Line[]> => {
    const main = join(dir, 'project/main.js')
    const child = start(client, [process.execPath, main, String(tasks), String(ms)], {
      DICOMP_URL: clientLink,
    })
    const lines: Line[] = []
    let trouble: Promise<void> | undefined
    if (!child.stdout) throw new Error('no output')
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith('{')) continue
      lines.push(JSON.parse(line) as Line)
      trouble ??= meanwhile()
    }
    await trouble
    return lines
  }

  /** Each task has exactly one result, the right one, and was not executed where the project is. */
  const expectAll = (lines: Line[], tasks: number): void => {
    expect(lines.filter(({ status }) => status !== 'fulfilled')).toEqual([])
    expect(lines.map(({ index }) => index).sort((a, b) => a - b)).toEqual([...Array(tasks).keys()])
    for (const { index, value } of lines) {
      expect(value).toMatchObject({ n: index, value: 9 * index ** 2, project: false })
    }
  }
  const hostsOf = (lines: Line[]): string[] => [...new Set(lines.map(({ value }) => value.host))].sort()

  test('code and packages travel to computers that have neither', async () => {
    const lines = await run(100, 20)
    expectAll(lines, 100)
    expect(hostsOf(lines)).toEqual(['node-a', 'node-b'])
  })

  test('the cable of a node is taken out for five seconds', async () => {
    const lines = await run(800, 20, async () => {
      nodes[0].unplug()
      await sleep(5000)
      nodes[0].plug()
    })
    expectAll(lines, 800)
  }, 60_000)

  test('the cable of the server is taken out for three seconds', async () => {
    const lines = await run(500, 20, async () => {
      server.unplug()
      await sleep(3000)
      server.plug()
    })
    expectAll(lines, 500)
  }, 60_000)

  test('the cable of the client is taken out for four seconds', async () => {
    const lines = await run(500, 20, async () => {
      client.unplug()
      await sleep(4000)
      client.plug()
    })
    expectAll(lines, 500)
  }, 60_000)

  test('all computers work again afterwards', async () => {
    // A connection that was cut for long is noticed after some seconds.
    let lines: Line[] = []
    for (let tries = 0; tries < 10 && hostsOf(lines).length < 2; tries++) lines = await run(60, 20)
    expectAll(lines, 60)
    expect(hostsOf(lines)).toEqual(['node-a', 'node-b'])
  }, 60_000)

  test('a slow network that loses packets', async ({ skip }) => {
    const bad = { delay: 40, jitter: 10, loss: 3 }
    for (const host of nodes) if (!(await host.impair(bad))) skip('there is neither netem nor python3')
    const lines = await run(200, 20)
    for (const host of nodes) host.repair()
    expectAll(lines, 200)
  }, 60_000)

  test('a computer that is switched off loses nothing, and its tasks run elsewhere', async () => {
    const lines = await run(400, 20, async () => {
      for (const pid of nodes[1].pids()) process.kill(pid, 'SIGKILL')
    })
    expectAll(lines, 400)
    expect(lines.at(-1)?.value.host).toBe('node-a')
  }, 60_000)
})
