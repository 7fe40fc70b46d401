/** Where the code of a bundle came from, for the day when an error names a place in it. */

import { getNote } from './cache.ts'
import { type Position, type Trace, traceOf, traceScript } from './trace.ts'
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
const byHash = new Map<string, Origin>()

export function rememberOrigin(bundle: Bundle, entry: Entry, buildMap: BuildMap | undefined): void {
  const origin: Origin = { entry, buildMap }
  byBundle.set(bundle, origin)
  byHash.set(bundle.hash, origin)
}

/** The original place of a place in the bundle with this hash; undefined for code that nobody wrote. */
export function traceBundle(
  hash: string,
  line: number,
  column: number,
  bundle?: Bundle,
): Position | undefined {
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
  const toEntry = buildMap ? readMap(buildMap) : undefined
  const map = entry.map() as { sources?: string[]; sourcesContent?: (string | null)[] } | undefined
  const toScript = map && traceOf(map, entry.resolveDir)
  const scripts = new Map(map?.sources?.map((source, i) => [source, map.sourcesContent?.[i] ?? undefined]))
  return (line, column) => {
    let at: Position | undefined = { file: ENTRY_FILE, line, column }
    if (buildMap) {
      at = toEntry?.(line, column)
      if (!at) return undefined
      if (!at.file.endsWith(ENTRY_FILE)) return at
    }
    const script = toScript?.(at.line, at.column)
    return script && traceScript(script, textOf(scripts, script.file))
  }
}

function textOf(scripts: Map<string, string | undefined>, file: string): string | undefined {
  for (const [source, text] of scripts) if (source === file || source.endsWith(file)) return text
  return undefined
}

function readMap({ file, base }: BuildMap): Trace | undefined {
  const map = getNote(file)
  return map === undefined ? undefined : traceOf(map, base)
}
