import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Fails instead of hanging: no test here may wait for ever. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing happened for ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await within(20_000, promise)
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

/** Memory that tasks in threads share with the test: a count of what happened. */
export const shared = (length = 8): Int32Array => new Int32Array(new SharedArrayBuffer(4 * length))

export async function until(condition: () => boolean): Promise<void> {
  const wait = async (): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await within(20_000, wait())
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a program that imports 'dicomp' as a user's would. A program that does not end is killed and has no code. */
export function run(
  source: string,
  { name = 'program.mjs', limit = 20_000, flags = [] as string[] } = {},
): Promise<Ran> {
  const folder = mkdtempSync(join(tmpdir(), 'dicomp-api-'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'dicomp'))
  writeFileSync(join(folder, name), source)
  return new Promise((resolve) => {
    const args = [...flags, join(folder, name)]
    execFile(
      process.execPath,
      args,
      { timeout: limit, killSignal: 'SIGKILL', cwd: folder },
      (error, stdout, stderr) => {
        rmSync(folder, { recursive: true, force: true })
        const code = error ? ((error as { code?: number | null }).code ?? null) : 0
        resolve({ code: typeof code === 'number' ? code : null, stdout, stderr })
      },
    )
  })
}
