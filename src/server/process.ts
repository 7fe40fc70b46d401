/** A nats-server of our own: started, watched, started again when it dies, and ended. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { DicompError } from '../errors.ts'
import { reachable } from './admin.ts'
import { refresh } from './cluster.ts'
import { serverConfig } from './config.ts'
import { findServer } from './find.ts'
import { commandOf, endProcess } from './processes.ts'
import { exclusively, filesOf, mustReadState, writePrivately } from './state.ts'
import { hostAndPort } from './tokens.ts'

export type ServerEvent =
  /** It ended by itself; it is started again. */
  | { type: 'died'; how: string }
  /** It is there again. What it had in memory is lost. */
  | { type: 'back'; pid: number }
  /** It could not be started again; this goes on. */
  | { type: 'failed'; error: Error }

export interface RunningServer {
  /** Of the server that runs now. */
  readonly pid: number
  readonly version: string
  stop(): Promise<void>
}

/** It reads what is on the disk before it listens. */
const START_MS = 120_000
/** It writes what it has to, and tells its clients. */
const STOP_MS = 20_000
const RESTART_MS = 100
const RESTART_MAX_MS = 5000
/**
 * One core is left for what else runs here. On two cores, with a node and a client beside it, a round trip took 0.77
 * ms instead of 0.97 (Go looks for work on every core that it may use). GOMAXPROCS in the environment decides otherwise.
 */
const SERVER_CORES = String(Math.max(1, availableParallelism() - 1))

export interface StartOptions {
  onEvent?: (event: ServerEvent) => void
  /** Ends the start, as long as it goes on. */
  signal?: AbortSignal
}

/**
 * Starts the server of the cluster whose state is in `dir`; when this returns, it listens.
 * @throws ServerMissingError there is no nats-server to start
 * @throws DicompError (DICOMP_E_UP) its port is taken, or it ended with an error; the message has its last words
 */
export async function startServer(dir: string, options: StartOptions = {}): Promise<RunningServer> {
  const { onEvent = () => {}, signal } = options
  const { path, version } = await findServer()
  await endForgotten(dir)
  let child = await launch(path, dir, signal)
  const stopping = new AbortController()
  let restarted: Promise<void> = Promise.resolve()

  const watch = () =>
    child.once('exit', (code, killedBy) => {
      if (stopping.signal.aborted) return
      onEvent({ type: 'died', how: killedBy ?? `exit code ${code}` })
      restarted = restart()
    })
  const restart = async () => {
    for (let pause = RESTART_MS; !stopping.signal.aborted; pause = Math.min(2 * pause, RESTART_MAX_MS)) {
      try {
        await sleep(pause, undefined, { signal: stopping.signal })
        child = await launch(path, dir, stopping.signal)
        watch()
        onEvent({ type: 'back', pid: child.pid ?? 0 })
        return
      } catch (error) {
        if (!stopping.signal.aborted) onEvent({ type: 'failed', error: error as Error })
      }
    }
  }
  watch()
  return {
    get pid() {
      return child.pid ?? 0
    },
    version,
    async stop() {
      stopping.abort()
      await restarted
      await end(child)
    },
  }
}

async function launch(path: string, dir: string, signal?: AbortSignal): Promise<ChildProcess> {
  const files = filesOf(dir)
  const { host, port } = mustReadState(dir).settings
  await mustBeFree(host, port)
  await exclusively(dir, () => writePrivately(files.config, serverConfig(mustReadState(dir), dir)))
  const configured = statSync(files.config).mtimeMs
  const log = openSync(files.log, 'a', 0o600)
  const from = statSync(files.log).size
  // In a group of its own: Ctrl-C is for `up`, which lets its node finish first.
  const child = spawn(path, ['-c', files.config], {
    stdio: ['ignore', log, log],
    detached: true,
    windowsHide: true,
    env: { ...process.env, DICOMP_URL: undefined, GOMAXPROCS: process.env.GOMAXPROCS ?? SERVER_CORES },
  })
  closeSync(log)
  let failed: Error | undefined
  child.once('error', (error) => (failed = error))
  try {
    for (const end = Date.now() + START_MS; !(await listens(reachable(host), port)); ) {
      signal?.throwIfAborted()
      if (failed || child.exitCode !== null || child.signalCode !== null || Date.now() > end) {
        const words = failed?.message ?? lastWords(readFileSync(files.log, 'utf8').slice(from))
        throw new DicompError('DICOMP_E_UP', `nats-server did not start: ${words}`, {
          fix: `see ${files.log}`,
        })
      }
      await sleep(10)
    }
    // Tokens were changed after it had read them, by who could not reach it yet.
    if (statSync(files.config).mtimeMs !== configured) await refresh(dir)
    return child
  } catch (error) {
    await end(child)
    throw error
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await gone
  clearTimeout(impatient)
}

/** Of an earlier `up` that was killed: its server goes on without it, with credentials that nobody looks after. */
async function endForgotten(dir: string): Promise<void> {
  const files = filesOf(dir)
  let pid: number
  try {
    pid = Number(readFileSync(files.pid, 'utf8'))
  } catch {
    return
  }
  if (pid > 0 && (await commandOf(pid))?.includes(files.config)) await endProcess(pid, STOP_MS)
}

/** nats-server would say so only in its log. */
function mustBeFree(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      const [what, fix] =
        error.code === 'EADDRINUSE'
          ? ['another program listens there', 'end it, or choose another port: npx dicomp up --port <number>']
          : error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND'
            ? ['this computer has no such address', 'give one of its own, or 0.0.0.0 for all: --host']
            : [error.message, 'choose another --host or --port']
      reject(
        new DicompError('DICOMP_E_UP', `Cannot listen at ${hostAndPort(host, port)}: ${what}`, {
          fix,
          cause: error,
        }),
      )
    })
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve()))
  })
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** What it complained of, without times and process numbers. */
function lastWords(log: string): string {
  const lines = log.trim().split('\n')
  const complaints = lines.filter((line) => /\[(FTL|ERR)\]|^nats-server:/.test(line))
  return (complaints.length > 0 ? complaints : lines.slice(-3))
    .map((line) => line.replace(/^\[\d+\] [\d/]+ [\d:.]+ /, ''))
    .slice(-3)
    .join('; ')
}
