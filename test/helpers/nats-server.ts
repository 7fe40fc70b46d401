/**
 * A nats-server with JetStream in a folder of its own, on a free port, for one test file. No TLS and no users unless
 * its configuration has them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, connect as dial } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findServer } from '../../src/server/find.ts'

export interface NatsOptions {
  /** More lines of its configuration file. */
  config?: string
  /** @default true */
  jetstream?: boolean
  /** @default a free one */
  port?: number
}

export interface Nats {
  /** Without credentials. */
  readonly url: string
  readonly port: number
  /** Holds its configuration, its log and the store. */
  readonly dir: string
  readonly pid: number
  /** What it wrote to its log. */
  log(): string
  /** Replaces the `config` lines and has them read. */
  reload(config: string): Promise<void>
  /** Waits until it has worked: it is gone, or stands still. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again: same port, same folder. `config` replaces the lines of before. */
  restart(config?: string): Promise<void>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

const running = new Set<Nats>()
// Whoever starts one stops it; but a `beforeAll` that fails half way does not come to that.
if (process.env.VITEST) {
  const { afterAll } = await import('vitest')
  afterAll(async () => {
    for (const nats of running) await nats.stop()
  })
}

export async function startNats(options: NatsOptions = {}): Promise<Nats> {
  const { path: binary } = await findServer()
  const dir = await mkdtemp(join(tmpdir(), 'dicomp-nats-'))
  await mkdir(join(dir, 'store'))
  const port = options.port ?? (await freePort())
  const file = join(dir, 'nats.conf')
  const log = join(dir, 'nats.log')
  const configure = (config = '') =>
    writeFile(
      file,
      [
        `host: 127.0.0.1`,
        `port: ${port}`,
        `log_file: "${log}"`,
        options.jetstream === false ? '' : `jetstream { store_dir: "${join(dir, 'store')}" }`,
        config,
      ].join('\n'),
    )
  await configure(options.config)

  let child: ChildProcess
  const start = async () => {
    child = spawn(binary, ['-c', file], { stdio: 'ignore' })
    for (let i = 0; !(await listens(port)); i++) {
      if (i > 1000 || child.exitCode !== null || child.signalCode !== null)
        throw new Error(
          `nats-server did not start: ${existsSync(log) ? readFileSync(log, 'utf8') : 'no log'}`,
        )
      await sleep(10)
    }
  }
  const kill = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    if (signal === 'SIGSTOP') await stopped(child.pid)
    else if (signal !== 'SIGCONT') await gone
  }
  await start()
  const nats: Nats = {
    url: `nats://127.0.0.1:${port}`,
    port,
    dir,
    get pid() {
      return child.pid ?? 0
    },
    log: () => readFileSync(log, 'utf8'),
    async reload(config) {
      await configure(config)
      const before = readFileSync(log, 'utf8').length
      child.kill('SIGHUP')
      while (!readFileSync(log, 'utf8').slice(before).includes('Reloaded server configuration'))
        await sleep(10)
    },
    kill,
    async restart(config) {
      if (config !== undefined) await configure(config)
      await start()
    },
    async stop() {
      running.delete(nats)
      await kill('SIGKILL')
      await rm(dir, { recursive: true, force: true, maxRetries: 3 })
    },
  }
  running.add(nats)
  return nats
}

/** Waits until all threads of a process stand still. */
async function stopped(pid = 0): Promise<void> {
  if (process.platform !== 'linux') return sleep(100)
  const tasks = `/proc/${pid}/task`
  const still = (task: string) => /\) T /.test(readFileSync(join(tasks, task, 'stat'), 'utf8'))
  while (!readdirSync(tasks).every(still)) await sleep(5)
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** Whether the server greets: it listens a little earlier. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial(port, '127.0.0.1')
    const end = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.setTimeout(1000, () => end(false))
    // With handshake-first TLS it says nothing before the handshake.
    socket.once('connect', () => setTimeout(() => end(true), 30))
    socket.once('data', () => end(true))
    socket.once('error', () => end(false))
  })
}
