/** The source map of an entry: from its text straight to the sources that were written. */
import type * as TraceMapping from '@jridgewell/trace-mapping'
import { load } from './ast.ts'
import type { Piece } from './emit.ts'
import type { Place } from './sourcemap.ts'

type Segment = [column: number] | [column: number, source: number, line: number, sourceColumn: number]

/** A place in a text where a stack frame can point: a name, or a sign. */
const TOKEN = /[\w$]+|[^\w$\s]/g

/** @param place where an offset in the text of an entity stands in the written source */
export function mapOf(
  pieces: Piece[],
  place: (from: NonNullable<Piece['from']>, offset: number) => Place,
): object {
  const lines: Segment[][] = [[]]
  const sources: string[] = []
  let column = 0
  for (const { text, from } of pieces) {
    let last = 0
    const advance = (to: number) => {
      for (let at = text.indexOf('\n', last); at >= 0 && at < to; at = text.indexOf('\n', last)) {
        lines.push([])
        column = 0
        last = at + 1
      }
      column += to - last
      last = to
    }
    if (from) {
      for (const { index } of text.matchAll(TOKEN)) {
        advance(index)
        const found = place(from, from.at + index)
        let source = sources.indexOf(found.file)
        if (source < 0) source = sources.push(found.file) - 1
        lines.at(-1)?.push([column, source, found.line - 1, found.column - 1])
      }
    } else lines.at(-1)?.push([column])
    advance(text.length)
  }
  const tracing = load('@jridgewell/trace-mapping') as typeof TraceMapping
  const decoded = { version: 3 as const, sources, names: [], mappings: lines }
  return { ...decoded, mappings: tracing.encodedMappings(new tracing.TraceMap(decoded)) }
}
