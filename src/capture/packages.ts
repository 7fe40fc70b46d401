/** Packages in node_modules as Node.js finds them, and which of them cannot become part of a bundle. */
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'

export interface Manifest {
  name?: string
  version?: string
  type?: string
  main?: string
  gypfile?: boolean
  binary?: unknown
  napi?: unknown
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean } | undefined>
}

export interface Package {
  /** As the package calls itself; the folder's name when it does not say. */
  name: string
  version: string
  /** Real path of its folder. */
  dir: string
  manifest: Manifest
}

/** Packages whose only use is to find and load the machine code of the package that depends on them. */
const ADDON_LOADERS = new Set([
  '@mapbox/node-pre-gyp',
  'bindings',
  'nan',
  'node-addon-api',
  'node-gyp-build',
  'node-gyp-build-optional-packages',
  'node-pre-gyp',
  'pkg-prebuilds',
  'prebuild-install',
])

/** A dependency such as `@scope/thing-linux-x64-gnu`, which exists once for each platform. */
const PER_PLATFORM =
  /(?:^|[-/_.])(?:linux|darwin|win32|windows|freebsd|android|macos|osx|alpine|musl)[-_]?(?:x64|x86|ia32|arm64|arm|aarch64|amd64|x86_64|universal|riscv64|s390x|ppc64)/

/** `@scope/name` or `name` of an import such as `name/lib/file.js`. */
export function packageName(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string)
}

export function inNodeModules(file: string): boolean {
  return file.includes(`${sep}node_modules${sep}`)
}

export function loadsAddons(name: string): boolean {
  return ADDON_LOADERS.has(name)
}

/** Whether the package is, or chooses between, machine code: such a package is used where it is installed. */
export function isNative({ dir, manifest }: Package): boolean {
  if (manifest.gypfile || manifest.napi || isObject(manifest.binary)) return true
  if (manifest.main?.endsWith('.node')) return true
  if (Object.keys(manifest.dependencies ?? {}).some(loadsAddons)) return true
  const platforms = Object.keys(manifest.optionalDependencies ?? {}).filter((name) => PER_PLATFORM.test(name))
  if (platforms.length >= 2) return true
  return existsSync(join(dir, 'binding.gyp')) || existsSync(join(dir, 'prebuilds'))
}

/** Whether the package says itself that it works without the other one. */
export function isOptionalFor(owner: Package | undefined, name: string): boolean {
  const { optionalDependencies, peerDependenciesMeta } = owner?.manifest ?? {}
  return optionalDependencies?.[name] !== undefined || peerDependenciesMeta?.[name]?.optional === true
}

/** Looks packages up; remembers what it saw, so that one build (or one check) asks the disk once. */
export class Packages {
  readonly #at = new Map<string, Package | undefined>()
  readonly #found = new Map<string, Package | undefined>()

  /** The package that `import 'name'` means in a file of the directory `from`; undefined without one. */
  find(name: string, from: string): Package | undefined {
    const key = `${name}\0${from}`
    if (this.#found.has(key)) return this.#found.get(key)
    const here = from.endsWith(`${sep}node_modules`)
      ? undefined
      : this.#read(join(from, 'node_modules', name))
    const parent = dirname(from)
    const found = here ?? (parent === from ? undefined : this.find(name, parent))
    this.#found.set(key, found)
    return found
  }

  /** The package that a file belongs to: the nearest package.json with a name (dual packages have more inside). */
  of(file: string): Package | undefined {
    for (let dir = dirname(file), up = ''; dir !== up; up = dir, dir = dirname(dir)) {
      if (dir.endsWith(`${sep}node_modules`)) return undefined
      const found = this.#read(dir)
      if (found?.manifest.name !== undefined) return found
    }
    return undefined
  }

  /** Whether Node.js would take the file for an ES module. */
  isModule(file: string): boolean {
    if (/\.m[jt]s$/.test(file)) return true
    if (!/\.[jt]sx?$/.test(file)) return false
    for (let dir = dirname(file), up = ''; dir !== up; up = dir, dir = dirname(dir)) {
      const found = this.#read(dir)
      if (found) return found.manifest.type === 'module'
    }
    return false
  }

  #read(dir: string): Package | undefined {
    if (this.#at.has(dir)) return this.#at.get(dir)
    let found: Package | undefined
    try {
      const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest
      const real = realpathSync(dir)
      const name = manifest.name ?? real.split(sep).slice(-1)[0] ?? 'package'
      found = { name, version: manifest.version ?? '0.0.0', dir: real, manifest }
    } catch {
      // No package here.
    }
    this.#at.set(dir, found)
    return found
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

/** Export conditions: the bundler's own default plus those that this process was started with. */
export function conditions(): string[] {
  const words = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
  const own = words.flatMap((word, i) => {
    const value = /^(?:--conditions|-C)(?:=(.+))?$/.exec(word)
    return value ? (value[1] ?? words[i + 1] ?? []) : []
  })
  return ['module', ...new Set(own)]
}
