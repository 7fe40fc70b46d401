import { spawn } from 'node:child_process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Outcome } from './model.ts'

const ROOT = new URL('..', import.meta.url)

/** The one thing that runs at a time, so that an interrupted driver leaves nothing behind. */
let running: { stop(): void } | undefined

export function stopRunning(): void {
  running?.stop()
}

export interface RunRequest {
  competitor: string
  file: string
  params: Readonly<Record<string, unknown>>
  limit: number
  sinceStart?: string | undefined
  env?: Readonly<Record<string, string>> | undefined
  /** Ends what left the process group of the run; called when the run is over, whatever came of it. */
  cleanUp?: (() => void) | undefined
}

/** Runs one competitor in one scenario, in a process of its own; after `limit` seconds, kills it with its children. */
export function runProcess(request: RunRequest): Promise<Outcome> {
  const [name = '', variant = ''] = request.competitor.split('+')
  const args = [
    fileURLToPath(new URL('child/main.mjs', ROOT)),
    competitorFile(name),
    variant,
    new URL(`scenarios/${request.file}.mjs`, ROOT).href,
    JSON.stringify(request.params),
  ]
  return runCommand(process.execPath, args, request)
}

/** The same with any command that prints the one line of a run. */
export function runCommand(
  command: string,
  args: readonly string[],
  request: Pick<RunRequest, 'limit' | 'sinceStart' | 'env' | 'cleanUp'>,
): Promise<Outcome> {
  const begin = process.hrtime.bigint()
  // Own process group (POSIX): a competitor that hangs may have children that must go with it.
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: process.platform !== 'win32',
    env: { ...cleanEnv(), ...request.env },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4000)
  })
  let late = false
  const stop = () => {
    try {
      if (child.pid !== undefined)
        process.kill(process.platform === 'win32' ? child.pid : -child.pid, 'SIGKILL')
    } catch {
      // It ended by itself in the meantime.
    }
    request.cleanUp?.()
  }
  const timer = setTimeout(() => {
    late = true
    stop()
  }, request.limit * 1000)
  running = { stop }

  return new Promise((resolve) => {
    const finish = (outcome: Outcome) => {
      clearTimeout(timer)
      running = undefined
      resolve(outcome)
    }
    // Whatever it started goes with it: a leftover would disturb the next run, and hold the pipes open.
    child.once('exit', stop)
    child.once('error', (error) => finish({ status: 'failed', why: error.message }))
    child.once('close', (code, signal) => {
      if (late) return finish({ status: 'timeout', seconds: request.limit })
      finish(parse(stdout, begin, request.sinceStart) ?? { status: 'failed', why: why(code, signal, stderr) })
    })
  })
}

/** Peers live beside their own package.json, everything else in `competitors/`. */
function competitorFile(name: string): string {
  if (name.startsWith('/') || name.startsWith('.')) return pathToFileURL(name).href
  const own = ['dicomp', 'raw', 'threads', 'loop']
  return new URL(`${own.includes(name) ? 'competitors' : 'peers'}/${name}.mjs`, ROOT).href
}

/**
 * An allow list: whatever the surroundings set for Node (`NODE_OPTIONS`, extra certificates, which cost Node 20 40 ms
 * per process) would be measured as well.
 */
function cleanEnv(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of [
    'PATH',
    'HOME',
    'TMPDIR',
    'LANG',
    'SystemRoot',
    'TEMP',
    'USERPROFILE',
    'LOCALAPPDATA',
  ]) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

function parse(stdout: string, begin: bigint, sinceStart: string | undefined): Outcome | undefined {
  const line = stdout.split('\n').find((text) => text.startsWith('BENCH '))
  if (!line) return undefined
  const { atLeast = [], note, at, ...values } = JSON.parse(line.slice('BENCH '.length))
  if (sinceStart && at !== undefined) values[sinceStart] = Number(BigInt(at) - begin) / 1e6
  return { status: 'ok', values, atLeast, ...(note ? { note } : {}) }
}

function why(code: number | null, signal: NodeJS.Signals | null, stderr: string): string {
  const message = /^\w*Error.*$/m.exec(stderr)?.[0] ?? stderr.trim().split('\n').at(-1) ?? ''
  // Paths of this computer are of no use in a report.
  const short = message.replaceAll(fileURLToPath(ROOT), '').slice(0, 160)
  return `${signal ?? `exit ${code}`}${short ? `: ${short}` : ''}`
}
