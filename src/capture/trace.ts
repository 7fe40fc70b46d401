/** Places in generated text and the places that they come from. */
import { resolve } from 'node:path'
import type * as TraceMapping from '@jridgewell/trace-mapping'
import { load } from './ast.ts'
import { type Place, pathOf } from './sourcemap.ts'

/** From a place in generated text (counted from 1) to the place before; undefined where the map has nothing. */
export type Trace = (line: number, column: number) => Place | undefined

/**
 * A tracer for a source map (v3).
 * @param base directory that relative sources refer to.
 * @returns undefined when the map is none.
 */
export function traceOf(map: object | string, base: string): Trace | undefined {
  const { TraceMap, originalPositionFor } = load('@jridgewell/trace-mapping') as typeof TraceMapping
  let reader: TraceMapping.TraceMap
  try {
    reader = new TraceMap(map as TraceMapping.SourceMapInput)
  } catch {
    return undefined
  }
  return (line, column) => {
    const found = originalPositionFor(reader, { line, column: Math.max(0, column - 1) })
    if (found.source === null) return undefined
    return { file: absolute(found.source, base), line: found.line, column: found.column + 1 }
  }
}

/** The absolute path of a source: of a file URL, or relative to `base`; other URLs stay as they are. */
function absolute(source: string, base: string): string {
  const path = pathOf(source)
  return /^[a-z][\w+.-]+:/i.test(path) ? path : resolve(base, path)
}
