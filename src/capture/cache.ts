/**
 * Where dicomp keeps files on this computer: the code of functions by content hash, their source maps, and an
 * index of what was built from what. Many processes share it without locks: every file is written beside its
 * place and renamed into it, and nothing that was read is believed before its content was checked.
 */
import { createHash } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { BundleError } from '../errors.ts'

/** Bumped when the layout of the files changes, so that old and new versions of dicomp do not meet. */
const LAYOUT = 'v1'
const FOLDERS = ['code', 'map', 'index'] as const
const MAX_BYTES = 2 ** 30
const HASH_LENGTH = 32
const HOUR = 3_600_000
const DAY = 24 * HOUR

export type Folder = (typeof FOLDERS)[number]

/** A file of code in the cache. */
export interface CodeFile {
  hash: string
  file: string
  /** Bytes. */
  size: number
}

let resolved: { wanted: string | undefined; dir: string } | undefined

/**
 * The directory of the cache, created when needed with mode 0700: `DICOMP_CACHE_DIR`, or `dicomp` in the
 * place where this system keeps caches, or a private directory in `os.tmpdir()` when that cannot be written.
 */
export function cacheDir(): string {
  const wanted = preferredDir()
  if (resolved === undefined || resolved.wanted !== wanted) {
    resolved = { wanted, dir: prepared(wanted) ?? fallbackDir() }
  }
  return resolved.dir
}

function preferredDir(): string | undefined {
  const { DICOMP_CACHE_DIR, XDG_CACHE_HOME, LOCALAPPDATA } = process.env
  if (DICOMP_CACHE_DIR) return resolve(DICOMP_CACHE_DIR)
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'dicomp')
  let home: string
  try {
    home = homedir()
  } catch {
    return undefined // a user id without an entry in the user database
  }
  if (!isAbsolute(home)) return undefined
  if (process.platform === 'darwin') return join(home, 'Library', 'Caches', 'dicomp')
  if (process.platform === 'win32')
    return join(LOCALAPPDATA || join(home, 'AppData', 'Local'), 'dicomp', 'Cache')
  return join(home, '.cache', 'dicomp')
}

/** The layout below `base`, or undefined when this process cannot have it for itself. */
function prepared(base: string | undefined): string | undefined {
  if (base === undefined) return undefined
  const dir = join(base, LAYOUT)
  try {
    for (const folder of FOLDERS) {
      const path = join(dir, folder)
      if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o700 })
    }
    if (process.getuid) {
      // Code is loaded from here: nobody else may be able to put a file into it.
      const stats = lstatSync(dir)
      if (!stats.isDirectory() || stats.uid !== process.getuid()) return undefined
      if (stats.mode & 0o077) chmodSync(dir, 0o700)
    }
    accessSync(dir, constants.W_OK)
    return dir
  } catch {
    return undefined
  }
}

function fallbackDir(): string {
  const base = join(tmpdir(), `dicomp-${process.getuid?.() ?? 'user'}`)
  try {
    mkdirSync(base, { mode: 0o700 })
  } catch {
    // There already; whose it is and what it is, is checked below.
  }
  try {
    const stats = lstatSync(base)
    const mine = process.getuid === undefined || (stats.uid === process.getuid() && !(stats.mode & 0o022))
    const dir = stats.isDirectory() && mine ? prepared(base) : undefined
    if (dir !== undefined) return dir
    const own = mkdtempSync(join(tmpdir(), 'dicomp-'))
    process.once('exit', () => rmSync(own, { recursive: true, force: true }))
    const inOwn = prepared(own)
    if (inOwn !== undefined) return inOwn
  } catch (cause) {
    throw noPlace(cause)
  }
  throw noPlace(undefined)
}

function noPlace(cause: unknown): BundleError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new BundleError(`There is no directory in which dicomp can keep the code of functions${why}`, {
    fix: 'set DICOMP_CACHE_DIR to a directory that this user can write',
    cause,
  })
}

/** Hex SHA-256, first 32 characters: the name of code. */
export function hashOf(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex').slice(0, HASH_LENGTH)
}

/**
 * Puts code into the cache under its hash. A file that is there already is kept when its content is right, and
 * replaced when it is not.
 * @throws {BundleError} when it cannot be written (a full disk, for example).
 */
export function putCode(code: string | Uint8Array): CodeFile {
  const bytes = typeof code === 'string' ? Buffer.from(code) : code
  const hash = hashOf(bytes)
  const known = getCode(hash)
  if (known) return known
  const file = join(cacheDir(), 'code', `${hash}.mjs`)
  writeAtomic(file, bytes)
  sweepSometimes()
  return inUse({ hash, file, size: bytes.length })
}

/** The code with this hash, or undefined when the cache does not have it whole. */
export function getCode(hash: string): CodeFile | undefined {
  const file = join(cacheDir(), 'code', `${hash}.mjs`)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch {
    return undefined
  }
  return hashOf(bytes) === hash ? inUse({ hash, file, size: bytes.length }) : undefined
}

/** Where `putNote` writes. */
export function noteFile(folder: Folder, name: string): string {
  return join(cacheDir(), folder, name)
}

/** Writes a file beside the code that only saves work (index, map): what cannot be written is left out. */
export function putNote(file: string, content: string): void {
  try {
    writeAtomic(file, `${hashOf(content)}\n${content}`)
  } catch {
    // The next process builds again.
  }
}

/** What `putNote` wrote, or undefined when it is not there whole. */
export function getNote(file: string): string | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    keep(file)
    const content = text.slice(HASH_LENGTH + 1)
    return text.slice(0, HASH_LENGTH) === hashOf(content) ? content : undefined
  } catch {
    return undefined
  }
}

/** Whether a note is there; if so it stays as long as this process runs. */
export function holdNote(file: string): boolean {
  if (!existsSync(file)) return false
  hold(file)
  return true
}

/** Writes all or nothing: readers see the old content, or the new one, never a part. */
function writeAtomic(file: string, content: string | Uint8Array): void {
  const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`
  const write = () => {
    writeFileSync(temporary, content, { mode: 0o600, flag: 'wx' })
    renameSync(temporary, file)
  }
  try {
    try {
      write()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 }) // somebody emptied the cache meanwhile
      write()
    }
  } catch (cause) {
    rmSync(temporary, { force: true })
    // Windows refuses to replace a file that another process reads; then that process has the same content.
    if (process.platform === 'win32' && existsSync(file)) return
    throw new BundleError(`Cannot write ${file}: ${(cause as Error).message}`, {
      fix: 'free some disk space, or set DICOMP_CACHE_DIR to a directory that can be written',
      cause,
    })
  }
}

const used = new Set<string>()
let keeping = false

function inUse(code: CodeFile): CodeFile {
  hold(code.file)
  return code
}

/** A long-running process loads its code into every new slot, so the files have to stay young while it runs. */
function hold(file: string): void {
  keep(file)
  used.add(file)
  if (!keeping) {
    keeping = true
    setInterval(() => used.forEach(keep), DAY / 4).unref()
  }
}

/** Marks a file as used now; at most once an hour, since that is exact enough to decide what to remove. */
function keep(file: string): void {
  try {
    const now = Date.now()
    if (now - statSync(file).mtimeMs > HOUR) utimesSync(file, now / 1000, now / 1000)
  } catch {
    // Removed by another process; whoever needs it builds it again.
  }
}

/** Sweeps in the background, at most once in ten minutes over all processes. */
function sweepSometimes(): void {
  const dir = cacheDir()
  const marker = join(dir, 'swept')
  try {
    if (Date.now() - statSync(marker).mtimeMs < HOUR / 6) return
  } catch {
    // Never swept.
  }
  try {
    writeFileSync(marker, '')
  } catch {
    return
  }
  void sweep(dir).catch(() => {})
}

/**
 * Bounds the cache: removes the files that were not used for the longest time until `maxBytes` are left, but
 * none that was used within `keepMs`. What a killed process left half written goes too.
 */
export async function sweep(dir: string, { maxBytes = MAX_BYTES, keepMs = DAY } = {}): Promise<void> {
  const oldest = Date.now() - keepMs
  const files: { path: string; size: number; time: number }[] = []
  let total = 0
  for (const folder of FOLDERS) {
    for (const name of await readdir(join(dir, folder)).catch(() => [])) {
      const path = join(dir, folder, name)
      const stats = await stat(path).catch(() => undefined)
      if (!stats?.isFile()) continue
      if (name.endsWith('.tmp') && stats.mtimeMs < oldest) await rm(path, { force: true })
      else {
        files.push({ path, size: stats.size, time: stats.mtimeMs })
        total += stats.size
      }
    }
  }
  files.sort((a, b) => a.time - b.time)
  for (const { path, size, time } of files) {
    if (total <= maxBytes || time >= oldest) return
    await rm(path, { force: true })
    total -= size
  }
}
