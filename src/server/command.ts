import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

export interface Ended {
  /** Undefined: a signal ended it, or it did not start. */
  code: number | undefined
  stdout: string
  stderr: string
}

/** Runs a command to its end, without a shell. Never throws. */
export function runCommand(
  file: string,
  args: string[],
  options: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const ended: Ended = { code: undefined, stdout: '', stderr: '' }
    const child = spawn(file, args, {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 0,
      windowsHide: true,
    })
    child.stdout.on('data', (data) => (ended.stdout += data))
    child.stderr.on('data', (data) => (ended.stderr += data))
    child.on('error', (error) => {
      ended.stderr += error.message
      resolve(ended)
    })
    child.on('close', (code) => resolve({ ...ended, code: code ?? undefined }))
  })
}

/** Every executable file of this name in PATH, in the order of PATH. */
export async function inPath(name: string, path = process.env.PATH ?? ''): Promise<string[]> {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', ''] : ['']
  const files = path
    .split(delimiter)
    .filter((dir) => dir !== '')
    .flatMap((dir) => suffixes.map((suffix) => join(dir, name + suffix)))
  const usable = await Promise.all(files.map(isExecutable))
  return files.filter((_, index) => usable[index])
}

export async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
