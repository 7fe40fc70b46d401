/** Where the code of a bundle came from, for the day when an error names a place in it. */

import { basename } from 'node:path'
import { getNote } from './cache.ts'
import type { Place } from './sourcemap.ts'
import { type Trace, traceOf } from './trace.ts'
import type { Bundle, Entry } from './types.ts'

/** Name of the entry's text in what the bundler says. An .mjs, so that CommonJS imports mean what Node.js means. */
export const ENTRY_FILE = 'dicomp-entry.mjs'

/** The bundler's source map: a file of the cache, and the directory that its sources refer to. */
export interface BuildMap {
  file: string
  base: string
}

interface Origin {
  entry: Entry
  buildMap: BuildMap | undefined
  trace?: Trace
}

/** Two functions can have the same code and so one hash; the bundle object knows which of them it is. */
const byBundle = new WeakMap<Bundle, Origin>()
/** The newest ones; a process that makes functions without end keeps no more. */
const MAX_KNOWN = 2000
const byHash = new Map<string, Origin>()

export function rememberOrigin(bundle: Bundle, entry: Entry, buildMap: BuildMap | undefined): void {
  const origin: Origin = { entry, buildMap }
  byBundle.set(bundle, origin)
  byHash.delete(bundle.hash)
  byHash.set(bundle.hash, origin)
  if (byHash.size > MAX_KNOWN) byHash.delete(byHash.keys().next().value as string)
}

/** The original place of a place in the bundle with this hash; undefined for code that nobody wrote. */
export function traceBundle(hash: string, line: number, column: number, bundle?: Bundle): Place | undefined {
  const origin = (bundle?.hash === hash ? byBundle.get(bundle) : undefined) ?? byHash.get(hash)
  if (!origin) return undefined
  origin.trace ??= tracer(origin)
  return origin.trace(line, column)
}

/** Whether this process made the bundle, so that a place without an original is known to be glue. */
export function knowsBundle(hash: string): boolean {
  return byHash.has(hash)
}

function tracer({ entry, buildMap }: Origin): Trace {
  const map = entry.map()
  const toSource = map && traceOf(map, entry.resolveDir)
  if (!buildMap) return (line, column) => toSource?.(line, column)
  const toEntry = readMap(buildMap)
  return (line, column) => {
    const at = toEntry?.(line, column)
    return at && basename(at.file) === ENTRY_FILE ? toSource?.(at.line, at.column) : at
  }
}

function readMap({ file, base }: BuildMap): Trace | undefined {
  const map = getNote(file)
  return map === undefined ? undefined : traceOf(map, base)
}
