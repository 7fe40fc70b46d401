/**
 * The library as code that travels sees it. `import … from 'dicomp'` inside code that travels: the slot's runtime answers, so the library itself never
 * becomes part of a bundle. The slot puts it at `globalThis[Symbol.for('dicomp.runtime')]`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as errors from '../errors.ts'

/** Name of the package. */
export const LIBRARY = 'dicomp'

/** How code in a bundle reaches the runtime of the slot. */
export const RUNTIME = `globalThis[Symbol.for("dicomp.runtime")]`

/** Every public name of the package that code in a slot can import. */
export const RUNTIME_NAMES: readonly string[] = [
  'distribute',
  'connect',
  'task',
  'transfer',
  'pack',
  'unpack',
  'ERRORS',
  ...Object.keys(errors).filter((name) => name.endsWith('Error')),
]

/** An ES module that stands for the package; a name that is not imported leaves nothing behind. */
export function runtimeModule(): string {
  return RUNTIME_NAMES.map((name) => `export const ${name}=/*@__PURE__*/(()=>${RUNTIME}.${name})();`).join(
    '\n',
  )
}

/**
 * The public name of a value of the runtime. Inside a slot, code that travels has those in variables instead of
 * imports; elsewhere there is no runtime.
 */
export function runtimeNameOf(value: unknown): string | undefined {
  const runtime = (globalThis as { [name: symbol]: unknown })[Symbol.for('dicomp.runtime')]
  if (runtime === undefined) return undefined
  return RUNTIME_NAMES.find((name) => (runtime as Record<string, unknown>)[name] === value)
}

let root: string | undefined | null = null

/** The folder of this package; undefined when it was bundled into a program. */
export function libraryRoot(): string | undefined {
  if (root !== null) return root
  root = undefined
  let dir = dirname(fileURLToPath(import.meta.url))
  for (let up = ''; dir !== up; up = dir, dir = dirname(dir)) {
    const manifest = join(dir, 'package.json')
    if (!existsSync(manifest)) continue
    if ((JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === LIBRARY) root = dir
    break
  }
  return root
}
