/** Source maps, read only when something has to be traced back: the reader is loaded with the first one. */
import { readFileSync } from 'node:fs'
import { createRequire, findSourceMap } from 'node:module'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Tracing from '@jridgewell/trace-mapping'

/** A place in a source file. Lines and columns count from 1, as in stacks. */
export interface Position {
  /** Absolute path (or a URL that is no file). */
  file: string
  line: number
  column: number
}

/** From a place in generated text to a place in the text before; undefined where the map has nothing. */
export type Trace = (line: number, column: number) => Position | undefined

let tracing: typeof Tracing | undefined

/**
 * A tracer for a source map (v3).
 * @param base directory that relative sources refer to.
 * @returns undefined when the map is none.
 */
export function traceOf(map: object | string, base: string): Trace | undefined {
  // Loading it takes longer than a call; only errors need it. require() because a stack is made synchronously.
  tracing ??= createRequire(import.meta.url)('@jridgewell/trace-mapping') as typeof Tracing
  const { TraceMap, originalPositionFor } = tracing
  let reader: Tracing.TraceMap
  try {
    reader = new TraceMap(map as Tracing.SourceMapInput)
  } catch {
    return undefined
  }
  return (line, column) => {
    const found = originalPositionFor(reader, { line, column: Math.max(0, column - 1) })
    if (found.source === null) return undefined
    return { file: absolute(found.source, base), line: found.line, column: found.column + 1 }
  }
}

/** Traces a place in code that ran in this process to the file that a person wrote, where its map is known. */
export function traceScript(at: Position, text: string | undefined): Position {
  const trace = scriptTrace(at.file, text)
  return trace?.(at.line, at.column) ?? at
}

function scriptTrace(file: string, text: string | undefined): Trace | undefined {
  const base = isAbsolute(file) ? dirname(file) : process.cwd()
  const own = text === undefined ? undefined : mapIn(text, base)
  if (own) return own
  // Loaders that compile in memory (tsx) tell Node.js about their maps.
  const registered = findSourceMap(file)
  if (registered) return traceOf(registered.payload, base)
  if (!isAbsolute(file) || !/\.[cm]?jsx?$/.test(file)) return undefined
  try {
    return mapIn(readFileSync(file, 'utf8'), base)
  } catch {
    return undefined
  }
}

/** The map that the last `sourceMappingURL` comment of a text gives, inline or in a file beside it. */
function mapIn(text: string, base: string): Trace | undefined {
  const start = text.lastIndexOf('//# sourceMappingURL=')
  if (start === -1) return undefined
  const url = /^\S*/.exec(text.slice(start + 21))?.[0] ?? ''
  try {
    const inline = /^data:application\/json[^,]*?(;base64)?,(.*)$/s.exec(url)
    if (inline) {
      const [, base64, data = ''] = inline
      return traceOf(base64 ? Buffer.from(data, 'base64').toString('utf8') : decodeURIComponent(data), base)
    }
    const file = url.startsWith('file:') ? fileURLToPath(url) : join(base, decodeURIComponent(url))
    return traceOf(readFileSync(file, 'utf8'), dirname(file))
  } catch {
    return undefined // a map that was not shipped
  }
}

/** The absolute path of a source: from a file URL, or relative to `base`; other URLs stay as they are. */
function absolute(source: string, base: string): string {
  if (source.startsWith('file:')) return fileURLToPath(source)
  if (/^[a-z][\w+.-]+:/i.test(source)) return source
  return resolve(base, source)
}
