/** Small projects on disk, entries, and other processes for the tests of bundling. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import type { Bundle, Entry } from '../../src/capture/types.ts'

const nativeImport = createRequire(import.meta.url)('./native-import.cjs') as (
  url: string,
) => Promise<unknown>

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const made: string[] = []
afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})

export function temporary(name = 'dir'): string {
  const dir = mkdtempSync(join(tmpdir(), `dicomp-test-${name}-`))
  made.push(dir)
  return dir
}

/** An own cache for the test file; returns its directory. */
export function ownCache(): string {
  const dir = temporary('cache')
  process.env.DICOMP_CACHE_DIR = dir
  return dir
}

/** A project folder with these files. `packages` makes this repository's node_modules its own. */
export function project(files: Record<string, string>, { packages = false } = {}): string {
  const dir = temporary('project')
  for (const [name, text] of Object.entries(files)) {
    const file = join(dir, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  if (packages) symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'), 'dir')
  return dir
}

export function entry(text: string, resolveDir: string, map: object | undefined = undefined): Entry {
  return { text, resolveDir, hasImports: /\b(?:import|require)\b/.test(text), map: () => map }
}

/** The usual entry: imports, then one function. */
export function entryOf(imports: string, fn: string, resolveDir: string): Entry {
  return entry(`${imports}\nexport default () => ({ fn: ${fn}, entities: [] })\n`, resolveDir)
}

// biome-ignore lint/suspicious/noExplicitAny: results of code under test
type Any = any

/** Loads a bundle here, as a slot would. */
export async function load(bundle: Bundle): Promise<(...args: unknown[]) => Any> {
  const require = createRequire(import.meta.url)
  const native = (name: string) => require(bundle.natives.find((one) => one.name === name)?.path ?? name)
  Object.assign(globalThis, { [Symbol.for('dicomp.runtime')]: { native, task: { attempt: 3 } } })
  const module = (await nativeImport(pathToFileURL(bundle.file).href)) as Any
  return module.default(() => []).fn
}

export interface Told {
  /** Whether bundle() answered at once. */
  sync: boolean
  ms: number
  bundle: Bundle
  result: Any
  cacheDir: string
}

export interface ChildOptions {
  env?: Record<string, string>
  cwd?: string
  uid?: number
  node?: string
}

/** Bundles and calls in another process (see child.ts). */
export function inOtherProcess(entries: Entry[], options: ChildOptions = {}): Promise<Told[]> {
  const { env = {}, cwd = root, uid, node = process.execPath } = options
  const child = spawn(
    node,
    [
      '--import',
      pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href,
      join(root, 'test/bundle/child.ts'),
    ],
    {
      cwd,
      env: { ...process.env, NODE_OPTIONS: '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(uid ? { uid } : {}),
    },
  )
  child.stdin.end(JSON.stringify(entries))
  const output = { out: '', err: '' }
  child.stdout.on('data', (data) => (output.out += data))
  child.stderr.on('data', (data) => (output.err += data))
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('close', (code) => {
      if (code === 0) done(JSON.parse(output.out) as Told[])
      else failed(new Error(`child ended with ${code}: ${output.err}`))
    })
  })
}
