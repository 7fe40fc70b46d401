/** From the text that runs back to the text that was written, by the source map that the running script carries. */
import { readFileSync } from 'node:fs'
import { relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as TraceMapping from '@jridgewell/trace-mapping'
import { load } from './ast.ts'

/** A place in a file. `line` and `column` count from 1. */
export interface Place {
  /** Absolute path, or a URL that is no file. */
  file: string
  line: number
  column: number
}

export type Mapper = (line: number, column: number) => Place | undefined

/** As long as `async function* (`. */
const NEAR = 17
const COMMENT = /^\/\/[#@] sourceMappingURL=(\S+)\s*$/gm

/**
 * Reads the source map of a script, inline (tsx, vitest) or from the file beside it (tsc, bundlers).
 * @returns a function of 0-based line and column, or undefined when the script has no usable map
 */
export function mapperOf(text: string, url: string): Mapper | undefined {
  const link = [...text.matchAll(COMMENT)].at(-1)?.[1]
  if (!link) return undefined
  try {
    const tracing = load('@jridgewell/trace-mapping') as typeof TraceMapping
    const { json, base } = read(link, url)
    const map = new tracing.TraceMap(JSON.parse(json), base)
    return (line, column) => {
      const found = trace(tracing, map, line, column)
      if (found.source === null) return undefined
      return { file: pathOf(found.source), line: found.line, column: found.column + 1 }
    }
  } catch {
    // a map that is missing or broken must not stop the capture: positions are then those of the running text
    return undefined
  }
}

/**
 * Compilers need not map the first character of a function. The mapping before it may be of another line then, so the
 * one after it is better where it is near.
 */
function trace(tracing: typeof TraceMapping, map: TraceMapping.TraceMap, line: number, column: number) {
  const at = { line: line + 1, column }
  const before = tracing.traceSegment(map, line, column)
  if (before && before[0] !== column) {
    const segments = tracing.decodedMappings(map)[line] ?? []
    const after = segments[firstAfter(segments, column)]
    if (after && after[0] - column <= NEAR) at.column = after[0]
  }
  return tracing.originalPositionFor(map, at)
}

/** Index of the first segment past a column. */
function firstAfter(segments: readonly (readonly number[])[], column: number): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((segments[middle]?.[0] ?? 0) <= column) low = middle + 1
    else high = middle
  }
  return low
}

function read(link: string, url: string): { json: string; base: string } {
  if (!link.startsWith('data:')) {
    const base = new URL(link, url).href
    return { json: readFileSync(fileURLToPath(base), 'utf8'), base }
  }
  const comma = link.indexOf(',')
  const data = link.slice(comma + 1)
  const json = link.slice(0, comma).endsWith(';base64')
    ? Buffer.from(data, 'base64').toString('utf8')
    : decodeURIComponent(data)
  return { json, base: url }
}

/** Absolute path of a file URL; anything else stays as it is. */
export function pathOf(url: string): string {
  if (!url.startsWith('file:')) return url
  try {
    return fileURLToPath(url)
  } catch {
    return url
  }
}

/** `file:line:column`, the file relative to the working directory when it is inside it. */
export function show({ file, line, column }: Place): string {
  const near = relative(process.cwd(), file)
  const inside = near !== '' && !near.startsWith(`..${sep}`) && !file.includes('://')
  return `${inside ? near : file}:${line}:${column}`
}
