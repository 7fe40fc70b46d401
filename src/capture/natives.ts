/**
 * Packages that stay out of the bundle and are used where they are installed: native addons, and packages that
 * read files of their own (wasm, data). In the bundle such an import is a call of the slot's runtime, and the
 * bundle names what it needs, so that a computer can say before it runs a task that something is missing.
 */
import { isBuiltin } from 'node:module'
import { relative } from 'node:path'
import type { ImportKind, OnResolveResult, Plugin, PluginBuild } from 'esbuild'
import { exportsOf } from './exports.ts'
import { RUNTIME } from './library.ts'
import {
  inNodeModules,
  isNative,
  isOptionalFor,
  loadsAddons,
  type Package,
  Packages,
  packageName,
} from './packages.ts'
import type { NativePackage } from './types.ts'

/** What `import 'name'` meant in a directory: another answer later means that a cached bundle is out of date. */
export interface Lookup {
  name: string
  from: string
  dir: string
}

/** What one build learnt about packages. */
export interface PackageFindings {
  packages: Packages
  /** Folders of packages that have to stay out whatever they look like; those found late ask for another pass. */
  forced: Set<string>
  natives: Map<string, NativePackage>
  lookups: Map<string, Lookup>
}

export function newFindings(forced: Set<string>): PackageFindings {
  return { packages: new Packages(), forced, natives: new Map(), lookups: new Map() }
}

const NAMESPACE = 'dicomp-native'
/** `name`, `name/sub`, `@scope/name`; not `./file`, `/file`, `#alias`, `node:fs`, `C:\file`. */
const BARE = /^(?:@[^/:\\]+\/)?[^./:@#\\][^:\\]*$/
const AGAIN = Symbol('resolved by the bundler itself')

/** Keeps native packages out of the bundle and notes all packages that it meets. */
export function nativePlugin(findings: PackageFindings): Plugin {
  return {
    name: NAMESPACE,
    setup(build) {
      build.onResolve({ filter: BARE }, (args) =>
        args.pluginData === AGAIN || isBuiltin(args.path) ? undefined : resolveBare(build, findings, args),
      )
      build.onResolve({ filter: /^\.{0,2}\/.*\.node$|^[A-Za-z]:.*\.node$/ }, (args) =>
        args.pluginData === AGAIN ? undefined : resolveAddon(build, findings, args),
      )
      build.onLoad({ filter: /.*/, namespace: NAMESPACE }, async (args) => {
        const native = findings.natives.get(args.path) as NativePackage
        const names = findings.packages.isModule(native.path)
          ? await exportsOf(native.path, build.esbuild.build)
          : undefined
        return { contents: stub(native, names), loader: 'js' }
      })
    },
  }
}

interface Asked {
  path: string
  importer: string
  resolveDir: string
  kind: ImportKind
}

async function resolveBare(
  build: PluginBuild,
  findings: PackageFindings,
  { path, importer, resolveDir, kind }: Asked,
): Promise<OnResolveResult | undefined> {
  const { packages, forced, lookups } = findings
  const name = packageName(path)
  const found = packages.find(name, resolveDir)
  lookups.set(`${name}\0${resolveDir}`, { name, from: resolveDir, dir: found?.dir ?? '' })
  const owner = packages.of(importer)
  if (loadsAddons(name) && owner && inNodeModules(owner.dir)) {
    forced.add(owner.dir)
    return { path, external: true }
  }
  if (!found || !(forced.has(found.dir) || isNative(found))) return undefined
  // Nothing found (an optional package that this platform lacks) is the bundler's usual case, or its usual error.
  const target = await build.resolve(path, { kind, importer, resolveDir, pluginData: AGAIN })
  if (target.errors.length > 0 || target.external) return undefined
  return external(findings, path, target.path, found, isOptionalFor(owner, name))
}

/** A `.node` file by its path: in a package it shows that the package is native, in the project it is one itself. */
async function resolveAddon(
  build: PluginBuild,
  findings: PackageFindings,
  { path, importer, resolveDir, kind }: Asked,
): Promise<OnResolveResult | undefined> {
  const target = await build.resolve(path, { kind, importer, resolveDir, pluginData: AGAIN })
  if (target.errors.length > 0 || target.external) return undefined
  const owner = findings.packages.of(target.path)
  if (!owner) return undefined
  if (!inNodeModules(owner.dir)) {
    const name = `${owner.name}/${relative(owner.dir, target.path).replaceAll('\\', '/')}`
    return external(findings, name, target.path, owner, false)
  }
  findings.forced.add(owner.dir)
  return { path, external: true }
}

function external(
  { natives }: PackageFindings,
  specifier: string,
  path: string,
  { version }: Package,
  optional: boolean,
): OnResolveResult {
  const taken = natives.get(specifier)
  const name = taken === undefined || taken.path === path ? specifier : `${specifier}@${version}`
  const known = natives.get(name)
  if (known) known.optional &&= optional
  else natives.set(name, { name, version, path, optional })
  return { path: name, namespace: NAMESPACE, sideEffects: true }
}

function stub({ name, optional }: NativePackage, names: string[] | undefined): string {
  const load = `${RUNTIME}.native(${JSON.stringify(name)})`
  if (names !== undefined) {
    const parts = names.map(
      (key, i) => `const e${i}=m[${JSON.stringify(key)}];export{e${i} as ${JSON.stringify(key)}};`,
    )
    return `const m=${load};\n${parts.join('\n')}`
  }
  if (!optional) return `module.exports=${load}`
  // What require() says when a package is missing, and what packages with optional parts wait for.
  const missing = JSON.stringify(`Cannot find module '${name}'`)
  return `try{module.exports=${load}}catch(e){throw Object.assign(new Error(${missing},{cause:e}),{code:'MODULE_NOT_FOUND'})}`
}
