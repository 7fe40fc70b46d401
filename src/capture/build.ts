/** One run of the bundler: from an entry to code that needs nothing but Node.js and its native packages. */
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Esbuild from 'esbuild'
import { BundleError } from '../errors.ts'
import { findOwnFiles, type MappedCode, mentionsOwnFile } from './assets.ts'
import { bundleError } from './build-errors.ts'
import { LIBRARY, libraryRoot, runtimeModule } from './library.ts'
import { type Lookup, nativePlugin, newFindings, type PackageFindings } from './natives.ts'
import { ENTRY_FILE } from './origins.ts'
import { conditions } from './packages.ts'
import type { Entry, NativePackage } from './types.ts'

export interface Built extends MappedCode {
  natives: NativePackage[]
  /** Absolute paths of the files that went in. */
  inputs: string[]
  lookups: Lookup[]
}

const MAX_PASSES = 10

/**
 * Bundles an entry.
 * @throws {BundleError} with the place in the user's files.
 */
export async function build(entry: Entry): Promise<Built> {
  let esbuild: typeof Esbuild
  try {
    esbuild = await import('esbuild')
  } catch (error) {
    throw await bundleError(error, entry, undefined)
  }
  const forced = new Set<string>()
  for (let pass = 1; ; pass++) {
    const findings = newFindings(forced)
    try {
      const before = forced.size
      const { inputs, ...bundle } = await run(esbuild, entry, findings, true)
      if (mentionsOwnFile(bundle.code)) {
        const readable = () => run(esbuild, entry, findings, false)
        for (const dir of await findOwnFiles(bundle, findings.packages, readable)) forced.add(dir)
      }
      if (forced.size > before && pass < MAX_PASSES) continue // a package turned out to be one that stays outside
      return {
        ...bundle,
        code: withHead(bundle.code),
        natives: [...findings.natives.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
        inputs,
        lookups: [...findings.lookups.values()],
      }
    } catch (error) {
      throw await bundleError(error, entry, esbuild)
    }
  }
}

async function run(
  esbuild: typeof Esbuild,
  { text, resolveDir, home }: Entry,
  findings: PackageFindings,
  short: boolean,
): Promise<MappedCode & { inputs: string[] }> {
  const { outputFiles, metafile } = await esbuild.build({
    stdin: { contents: text, resolveDir, sourcefile: ENTRY_FILE, loader: 'js' },
    absWorkingDir: resolveDir,
    outfile: join(resolveDir, 'dicomp-bundle.mjs'),
    write: false,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    conditions: conditions(),
    minifySyntax: true,
    minifyWhitespace: short,
    minifyIdentifiers: short,
    keepNames: true,
    sourcemap: 'external',
    sourcesContent: false,
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
    banner: { js: HEAD },
    plugins: [fileUrlPlugin(), libraryPlugin(), nativePlugin(findings)],
  })
  const [map, code] = outputFiles[0]?.path.endsWith('.map') ? outputFiles : [outputFiles[1], outputFiles[0]]
  refuseCircle(home, metafile, resolveDir)
  const inputs = Object.keys(metafile.inputs).filter(
    (path) => path !== ENTRY_FILE && !/^[\w-]{2,}:/.test(path),
  )
  return {
    code: code?.text ?? '',
    map: map?.text ?? '',
    base: resolveDir,
    inputs: inputs.map((path) => resolve(resolveDir, path)),
  }
}

/**
 * A slot must not run the main program again, which would submit its jobs once more. (A module that is not the
 * program may be part of a circle: what it does when it is imported, it does in every slot anyway.)
 * @throws {BundleError} when a module that the function needs imports the program.
 */
function refuseCircle(home: string | undefined, { inputs }: Esbuild.Metafile, base: string): void {
  if (home === undefined || home !== process.argv[1]) return
  for (const [importer, { imports }] of Object.entries(inputs)) {
    if (!imports.some(({ path, external }) => !external && resolve(base, path) === home)) continue
    throw new BundleError(
      `${resolve(base, importer)} imports ${home}, the program that distributes the function: every slot would run that program again`,
      { fix: 'move what they share to a module of its own, and import that from both' },
    )
  }
}

/** First line of every bundle, so that a longer one in its place moves no position of the source map. */
const HEAD = '//'

/** CommonJS code in an ES module needs the names that Node.js gives to CommonJS. */
function withHead(code: string): string {
  let head = ''
  if (/\brequire\b/.test(code)) {
    head += 'import{createRequire as $require}from"node:module";const require=$require(import.meta.url);'
  }
  if (/\b__(?:dirname|filename)\b/.test(code)) {
    head += 'import{fileURLToPath as $path}from"node:url";const __filename=$path(import.meta.url),'
    head += '__dirname=$path(new URL(".",import.meta.url)).slice(0,-1);'
  }
  return head + code.slice(code.startsWith(HEAD) ? HEAD.length : 0)
}

/** Node.js imports file URLs, some with a query that a loader added; the bundler knows paths only. */
function fileUrlPlugin(): Esbuild.Plugin {
  return {
    name: 'dicomp-file-url',
    setup({ onResolve, resolve }) {
      onResolve({ filter: /^file:/ }, ({ path, kind, importer, resolveDir }) => {
        const url = new URL(path)
        url.search = url.hash = ''
        return resolve(fileURLToPath(url), { kind, importer, resolveDir })
      })
    },
  }
}

/** Code that imports the library gets the runtime of the slot, whether by name or by the path of a checkout. */
function libraryPlugin(): Esbuild.Plugin {
  return {
    name: 'dicomp-runtime',
    setup({ onResolve, onLoad }) {
      const module = () => ({ contents: runtimeModule(), loader: 'js' as const })
      onResolve({ filter: /^dicomp$/ }, () => ({
        path: LIBRARY,
        namespace: LIBRARY,
        sideEffects: false,
      }))
      onLoad({ filter: /.*/, namespace: LIBRARY }, module)
      const root = libraryRoot()
      if (root === undefined) return
      const escaped = root.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
      onLoad({ filter: new RegExp(`^${escaped}[/\\\\](?:src|dist)[/\\\\]index\\.[jt]s$`) }, module)
    },
  }
}
