/** A cluster for tests: a nats-server, and nodes as programs of their own, as a person starts them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Nats, startNats } from '../helpers/nats-server.ts'

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface Computer {
  readonly process: ChildProcess
  kill(signal: NodeJS.Signals): Promise<void>
}

export interface Computers {
  readonly nats: Nats
  /** What `connect` takes. */
  readonly link: string
  /** Starts a node, and resolves when it works. */
  join(...options: string[]): Promise<Computer>
  /** Ends all, with SIGKILL where need be. */
  stop(): Promise<void>
}

/** @param server one that runs already */
export async function startComputers(server?: Nats): Promise<Computers> {
  const nats = server ?? (await startNats())
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-computers-'))
  const running = new Set<Computer>()
  return {
    nats,
    link: nats.url,
    async join(...options) {
      // Neither the project nor its packages are there, and its caches are its own.
      const child = spawn(
        process.execPath,
        [cli, 'join', nats.url, '--cache', join(dir, 'cache'), ...options],
        {
          cwd: dir,
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      )
      const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
      const computer: Computer = {
        process: child,
        async kill(signal) {
          child.kill(signal)
          if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
          await gone
          running.delete(computer)
        },
      }
      running.add(computer)
      let said = ''
      await new Promise<void>((resolve, reject) => {
        child.stderr?.setEncoding('utf8').on('data', (text: string) => {
          said += text
          if (said.includes('Joined')) resolve()
        })
        child.once('close', () => reject(new Error(`The node ended: ${said}`)))
      })
      return computer
    },
    async stop() {
      for (const computer of running) {
        computer.process.kill('SIGCONT')
        await computer.kill('SIGTERM')
      }
      await nats.stop()
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/**
 * A program of a user, from the root of the repository. Resolves when it has ended by itself.
 * @param said called with all that it has written to stderr, whenever there is more
 */
export function runProgram(
  args: string[],
  env: Record<string, string>,
  said: (text: string) => void = () => {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => {
    stdout += data
  })
  child.stderr.on('data', (data) => {
    stderr += data
    said(stderr)
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
}
