/** Where the imports of a running script lead, and how the entry text names the same modules. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import { dirname, extname, isAbsolute, join, relative, resolve as resolvePath, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pathOf } from './sourcemap.ts'

export type Origin = 'builtin' | 'project' | 'package' | 'library'

export interface Target {
  origin: Origin
  /** The module as the entry names it. */
  specifier: string
  /** Absolute path of the file, where it is known. */
  file?: string
}

/** Directory of this library's package: imports of its own files mean the library itself. */
/** Found on first use: importing the library reads no file. */
let found: { dir: string; name: string } | undefined

function home(): { dir: string; name: string } {
  found ??= findHome()
  return found
}

function findHome(): { dir: string; name: string } {
  let dir = dirname(pathOf(import.meta.url))
  for (;;) {
    const manifest = join(dir, 'package.json')
    if (existsSync(manifest)) return { dir, name: String(JSON.parse(readFileSync(manifest, 'utf8')).name) }
    if (dirname(dir) === dir) return { dir: '', name: 'dicomp' }
    dir = dirname(dir)
  }
}

/** Whether a file is part of this library (its tests and examples are not). */
export function isLibrary(file: string): boolean {
  const { dir } = home()
  return [`${dir}${sep}src${sep}`, `${dir}${sep}dist${sep}`].some((own) => file.startsWith(own))
}

/**
 * Resolves `specifier` as written in a script of directory `from`, for an entry whose imports resolve from `root`.
 * Relative paths are resolved here, because the entry stands elsewhere; bare names are left to the bundler, which
 * knows `exports` conditions and `tsconfig` paths.
 */
export function resolveImport(specifier: string, from: string, root: string): Target {
  const key = `${specifier}\0${from}\0${root}`
  const target = resolved.get(key) ?? resolve(specifier, from, root)
  resolved.set(key, target)
  return target
}

/** What has been resolved: the modules of a process do not move, and looking for files takes most of a later capture. */
const resolved = new Map<string, Target>()

function resolve(specifier: string, from: string, root: string): Target {
  if (isBuiltin(specifier)) {
    return { origin: 'builtin', specifier: specifier.startsWith('node:') ? specifier : `node:${specifier}` }
  }
  const clean = specifier.replace(/^\/@fs\//, '/').replace(/(?<=.)[?#].*$/, '')
  if (/^(\.{1,2}(\/|$)|\/|file:)/.test(clean) || isAbsolute(clean)) {
    const path = clean.startsWith('file:') ? pathOf(clean) : resolvePath(from, clean)
    const file = existing(path) ?? (clean.startsWith('/') ? existing(join(viteRoot(), clean)) : undefined)
    if (file === undefined) return { origin: 'project', specifier: relativeTo(root, path) }
    return fileTarget(file, root)
  }
  if (specifier === home().name || specifier === 'dicomp') return { origin: 'library', specifier: 'dicomp' }
  const file = locate(clean, from)
  if (clean.startsWith('#')) {
    // a name of the package's own `imports`, which says nothing in another package
    const here = from === root || file === undefined || packageScope(from) === packageScope(root)
    const origin = file !== undefined && inPackage(file) ? 'package' : 'project'
    return here
      ? { origin, specifier: clean, ...(file === undefined ? {} : { file }) }
      : fileTarget(file, root)
  }
  const owner = packageDir(clean, from)
  if (file !== undefined && isLibrary(file)) return { origin: 'library', specifier: 'dicomp' }
  const origin = owner === undefined || (file !== undefined && !inPackage(file)) ? 'project' : 'package'
  const same = owner === undefined || from === root || packageDir(clean, root) === owner
  // another version of the package (or none) is nearer to the entry: name the file
  const named = same || file === undefined ? clean : relativeTo(root, file)
  return { origin, specifier: named, ...(file === undefined ? {} : { file }) }
}

/** A file as the entry names it. */
export function fileTarget(file: string, root: string): Target {
  if (isLibrary(file)) return { origin: 'library', specifier: 'dicomp' }
  return { origin: inPackage(file) ? 'package' : 'project', specifier: relativeTo(root, file), file }
}

/** What `require` of the file returned in this process, if it was loaded that way. */
export function loadedExports(file: string): { exports: unknown } | undefined {
  const cache = createRequire(import.meta.url).cache
  return cache[file]
}

/** Whether a file is an ES module by its syntax, so that named imports of it can be shaken. */
export function isEsm(file: string): boolean {
  const extension = extname(file)
  if (/^\.[mc][tj]s$/.test(extension)) return extension.startsWith('.m')
  if (extension === '.json' || extension === '.node') return false
  try {
    return /^\s*(export\b|import\b(?!\s*\())/m.test(readFileSync(file, 'utf8'))
  } catch {
    return false
  }
}

/** Whether a module of the project declares an export as `const`: its value cannot change. */
export function isConstExport(file: string, name: string): boolean {
  if (!/^[\w$]+$/.test(name)) return false
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return false
  }
  const safe = name.replaceAll('$', '\\$')
  const constant = new RegExp(`^export\\s+const\\s+${safe}(?![\\w$])`, 'm').test(text)
  return constant && !new RegExp(`\\b(?:let|var)\\s[^\\n;=]*(?<![\\w$])${safe}(?![\\w$])`).test(text)
}

function inPackage(file: string): boolean {
  return /[\\/]node_modules[\\/]/.test(file)
}

function relativeTo(root: string, file: string): string {
  const path = relative(root, file).split(sep).join('/')
  if (isAbsolute(path)) return pathToFileURL(path).href
  return path.startsWith('.') ? path : `./${path}`
}

/** Root of the vite server: vitest names project files from it. */
function viteRoot(): string {
  const worker = (globalThis as { __vitest_worker__?: { config?: { root?: string } } }).__vitest_worker__
  return worker?.config?.root ?? process.cwd()
}

const EXTENSIONS = ['.ts', '.tsx', '.mts', '.cts', '.js', '.mjs', '.cjs', '.jsx', '.json']
/** TypeScript sources are imported under the names of their output. */
const WRITTEN: Record<string, string[]> = {
  '.js': ['.ts', '.tsx'],
  '.jsx': ['.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
}

function existing(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat?.isFile()) return path
  const extension = extname(path)
  for (const written of WRITTEN[extension] ?? []) {
    const source = path.slice(0, -extension.length) + written
    if (existsSync(source)) return source
  }
  for (const added of EXTENSIONS) if (existsSync(path + added)) return path + added
  if (!stat?.isDirectory()) return undefined
  const index = EXTENSIONS.map((added) => join(path, `index${added}`)).find((file) => existsSync(file))
  return index ?? locate(path, path)
}

function locate(specifier: string, from: string): string | undefined {
  try {
    return createRequire(join(from, 'x.js')).resolve(specifier)
  } catch {
    return undefined
  }
}

/** Directory of the package that a directory is part of. */
function packageScope(from: string): string {
  for (let dir = from; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'package.json')) || dirname(dir) === dir) return dir
  }
}

/** Directory of the package that a bare specifier names, seen from a directory. */
function packageDir(specifier: string, from: string): string | undefined {
  const name = /^(@[^/]+\/[^/]+|[^@/#][^/]*)/.exec(specifier)?.[0]
  if (name === undefined) return undefined
  for (let dir = from; ; dir = dirname(dir)) {
    const candidate = join(dir, 'node_modules', name)
    if (existsSync(candidate)) return candidate
    if (dirname(dir) === dir) return undefined
  }
}
