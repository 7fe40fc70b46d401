/** Runs the built command line as a person does. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, vi } from 'vitest'

// A command is a process; on a busy machine it takes its time.
vi.setConfig({ testTimeout: 120_000 })

export const CLI = process.env.DICOMP_TEST_CLI ?? fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Running {
  child: ChildProcess
  ended: Promise<Ended>
  /** What has come so far. */
  output: { stdout: string; stderr: string }
}

export interface Surroundings {
  cwd?: string
  input?: string
  env?: Record<string, string>
  /** Run by a shell, with the command line as "$@". */
  shell?: string
}

const running = new Set<ChildProcess>()

export function start(args: string[], { cwd, input, env, shell }: Surroundings = {}): Running {
  const command = [process.execPath, CLI, ...args]
  const [file = '', ...rest] = shell === undefined ? command : ['bash', '-c', shell, 'bash', ...command]
  const child = spawn(file, rest, { cwd, env: { ...process.env, CI: '', ...env }, stdio: 'pipe' })
  running.add(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => (output.stdout += chunk))
  child.stderr.on('data', (chunk) => (output.stderr += chunk))
  child.stdin.on('error', () => {}) // it may end before it has read everything
  child.stdin.end(input ?? '')
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal, ...output })
    })
  })
  return { child, ended, output }
}

export const dicomp = (args: string[], surroundings?: Surroundings): Promise<Ended> =>
  start(args, surroundings).ended

/** Waits until `condition` holds; a test's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

const directories: string[] = []

/** A directory that is gone after the test. */
export function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-cli-'))
  directories.push(dir)
  return dir
}

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
  for (const dir of directories.splice(0)) rmSync(dir, { recursive: true, force: true })
})
