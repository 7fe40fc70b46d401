/**
 * Other JavaScript runtimes for tests: each is one npm package that carries the binary of this platform, installed
 * once into `.cache/runtimes/<name>` (git-ignored) and shared by all test files and runs.
 */
import { execFile } from 'node:child_process'
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export type RuntimeName = 'node20' | 'node22' | 'node24' | 'node26' | 'bun' | 'deno'

const CACHE = fileURLToPath(new URL('../../.cache/runtimes/', import.meta.url))
const ATTEMPTS = 3
/** A lock whose holder has not touched it for this long belongs to a process that died. */
const STALE_LOCK_MS = 15_000
const run = promisify(execFile)
const known = new Map<RuntimeName, Promise<string | undefined>>()

/**
 * Path of the binary of a runtime, installed on first use.
 * @returns undefined where nobody publishes the runtime for this system: only then may a test be skipped
 * @throws when it is published and could not be installed in three attempts
 */
export function runtime(name: RuntimeName): Promise<string | undefined> {
  const path = known.get(name) ?? find(name)
  known.set(name, path)
  return path
}

async function find(name: RuntimeName): Promise<string | undefined> {
  if (name === `node${process.versions.node.split('.')[0]}` && !('bun' in process.versions))
    return process.execPath
  const source = packageOf(name)
  if (source === undefined) return undefined
  const home = join(CACHE, name)
  const binary = join(home, 'node_modules', source.name, source.binary)
  await mkdir(CACHE, { recursive: true })
  const lock = `${home}.lock`
  for (;;) {
    if (await exists(binary)) return binary
    if (await take(lock)) break
    await sleep(100)
  }
  const alive = setInterval(
    () => void utimes(lock, new Date(), new Date()).catch(() => {}),
    STALE_LOCK_MS / 5,
  )
  try {
    return (await exists(binary)) || (await install(home, source)) ? binary : undefined
  } finally {
    clearInterval(alive)
    await rm(lock, { recursive: true, force: true })
  }
}

interface Source {
  name: string
  range: string
  binary: string
}

function packageOf(name: RuntimeName): Source | undefined {
  const { platform, arch } = process
  const exe = platform === 'win32' ? '.exe' : ''
  if (name === 'bun') {
    const os = platform === 'win32' ? 'windows' : platform
    const cpu = arch === 'arm64' ? 'aarch64' : arch
    return { name: `@oven/bun-${os}-${cpu}${isMusl() ? '-musl' : ''}`, range: '1', binary: `bin/bun${exe}` }
  }
  if (name === 'deno') {
    if (isMusl()) return undefined
    return {
      name: `@deno/${platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`,
      range: '2',
      binary: `deno${exe}`,
    }
  }
  const os = platform === 'win32' ? 'win' : platform
  const prefix = platform === 'darwin' && arch === 'arm64' ? 'node-bin' : 'node'
  return { name: `${prefix}-${os}-${arch}`, range: name.slice('node'.length), binary: `bin/node${exe}` }
}

function isMusl(): boolean {
  if (process.platform !== 'linux') return false
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime === undefined
}

/**
 * Installs beside `home` and renames, so that a half-done install is never found.
 * @returns false where there is no such package
 */
async function install(home: string, source: Source): Promise<boolean> {
  const staging = `${home}.${process.pid}`
  let reason: unknown
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await rm(staging, { recursive: true, force: true })
      await mkdir(staging, { recursive: true })
      const flags = [
        '--no-save',
        '--no-package-lock',
        '--no-audit',
        '--no-fund',
        '--ignore-scripts',
        '--loglevel=error',
      ]
      const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
      await run(npm, ['install', '--prefix', staging, ...flags, `${source.name}@${source.range}`], {
        shell: process.platform === 'win32',
        timeout: 300_000,
      })
      await run(join(staging, 'node_modules', source.name, source.binary), ['--version'], { timeout: 60_000 })
      await rm(home, { recursive: true, force: true })
      await rename(staging, home)
      return true
    } catch (error) {
      reason = error
      await sleep(1000 * attempt)
    }
  }
  await rm(staging, { recursive: true, force: true })
  if (/\bE404\b/.test((reason as { stderr?: string }).stderr ?? '')) return false
  throw new Error(`Could not install ${source.name}@${source.range}`, { cause: reason })
}

async function take(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const held = await stat(lock).catch(() => undefined)
    if (held !== undefined && Date.now() - held.mtimeMs > STALE_LOCK_MS)
      await rm(lock, { recursive: true, force: true })
    return false
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}
