/** Runs an example as a person does: as a program of its own, from the root of the repository. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, vi } from 'vitest'

// On a busy machine a program takes its time.
vi.setConfig({ testTimeout: 120_000 })

const root = fileURLToPath(new URL('../../', import.meta.url))

/** A directory for what the examples write; removed after the tests of the file. */
export const scratch = mkdtempSync(join(tmpdir(), 'dicomp-examples-'))
const running = new Set<ChildProcess>()
afterAll(() => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

interface How {
  /** Another Node.js, which strips the types itself. */
  node?: string
  /** Called with everything on stderr so far, whenever there is more. */
  onStderr?: (text: string, child: ChildProcess) => void
}

/** @param file below examples/ */
export function example(file: string, args: string[], { node, onStderr }: How = {}): Promise<Ended> {
  const command = node === undefined ? ['--import', 'tsx'] : []
  const child = spawn(node ?? process.execPath, [...command, `examples/${file}`, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  const ended: Ended = { code: null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    ended.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    ended.stderr += chunk
    onStderr?.(ended.stderr, child)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      running.delete(child)
      resolve({ ...ended, code })
    })
  })
}
