import { DicompError } from '../../errors.ts'
import { plain, truncate } from '../../progress/index.ts'
import { stackOf } from '../report-error.ts'
import type { InputRecord } from './line-reader.ts'

/**
 * The value of a line of the input.
 * @throws DicompError DICOMP_E_LINE with the line number
 */
export function parseLine(record: InputRecord, options: { text: boolean; source: string }): unknown {
  if (record.problem) throw lineError(record, options.source, record.problem)
  if (options.text) return record.text
  try {
    return JSON.parse(record.text)
  } catch (error) {
    throw lineError(record, options.source, `it is not JSON: ${(error as Error).message}`)
  }
}

function lineError(record: InputRecord, source: string, problem: string): DicompError {
  const shown = record.text ? `\n    ${truncate(plain(record.text), 100)}` : ''
  // The first line of a pretty-printed document is its opening bracket.
  const document = record.line === 1 && /^\s*[[{]\s*$/.test(record.text)
  const fix = document
    ? `the input looks like one JSON document; make it one value a line: jq -c '.[]' ${source}`
    : 'correct the line, or go on past such lines with --keep-going (--errors FILE collects them)'
  return new DicompError('DICOMP_E_LINE', `Cannot use line ${record.line} of ${source}: ${problem}${shown}`, {
    fix,
  })
}

/**
 * The output line of a result, with its newline. `undefined` becomes `null`, or with `text` an empty line; with
 * `text` a string is written as it is.
 * @throws DicompError DICOMP_E_RESULT when JSON would lose something without a word
 */
export function formatLine(value: unknown, options: { text: boolean }): string {
  if (options.text && typeof value === 'string') return `${value}\n`
  if (value === undefined) return options.text ? '\n' : 'null\n'
  refuseLossy(value, 'result', new Set())
  return `${JSON.stringify(value)}\n`
}

/** What JSON.stringify turns into `{}` or drops, and what to return instead. */
const LOSSY: [test: (value: object) => boolean, name: string, instead: string][] = [
  [(v) => v instanceof Map, 'a Map', 'Object.fromEntries(map) or [...map]'],
  [(v) => v instanceof Set, 'a Set', '[...set]'],
  [(v) => ArrayBuffer.isView(v), 'a typed array', 'Array.from(array)'],
  [
    (v) => v instanceof ArrayBuffer || v instanceof SharedArrayBuffer,
    'an ArrayBuffer',
    'an array of numbers',
  ],
  [(v) => v instanceof RegExp, 'a RegExp', 'its source'],
  [(v) => v instanceof Error, 'an Error', 'its message, or throw it'],
]

function refuseLossy(value: unknown, path: string, above: Set<object>): void {
  if (typeof value === 'bigint') throw resultError(path, 'a BigInt', 'String(value)')
  if (typeof value !== 'object' || value === null) return
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function' && !ArrayBuffer.isView(value)) return
  if (above.has(value)) throw resultError(path, 'a reference back to something that contains it', 'a tree')
  for (const [test, name, instead] of LOSSY) if (test(value)) throw resultError(path, name, instead)
  above.add(value)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      if (typeof item === 'object' || typeof item === 'bigint') refuseLossy(item, `${path}[${i}]`, above)
    }
  } else {
    for (const [key, item] of Object.entries(value)) {
      if (typeof item === 'object' || typeof item === 'bigint') refuseLossy(item, `${path}.${key}`, above)
    }
  }
  above.delete(value)
}

function resultError(path: string, what: string, instead: string): DicompError {
  return new DicompError('DICOMP_E_RESULT', `Cannot write the result as JSON: ${path} is ${what}`, {
    fix: `return ${instead} instead`,
  })
}

/** The line of the errors file about a failed input. */
export function formatFailure(record: InputRecord, input: unknown, error: unknown): string {
  const own = (error ?? {}) as { name?: unknown; message?: unknown; code?: unknown }
  const about = {
    name: error instanceof Error ? own.name : typeof error,
    message: error instanceof Error ? own.message : String(error),
    ...(own.code === undefined ? {} : { code: String(own.code) }),
    ...(error instanceof Error ? { stack: stackOf(error) } : {}),
  }
  return `${JSON.stringify({ line: record.line, error: about, input })}\n`
}
