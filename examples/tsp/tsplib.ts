import { readFileSync } from 'node:fs'

/** A problem file that was read. City `i` of the arrays has the number `i + 1` in the file. */
export interface Instance {
  name: string
  x: Float64Array
  y: Float64Array
}

/** The file is not a TSPLIB problem that this program can solve; the message says where and what to do. */
export class TsplibError extends Error {
  override name = 'TsplibError'
  constructor(at: string, what: string, fix: string) {
    super(`${at}: ${what}\n  Fix: ${fix}`)
  }
}

/** Published optimal lengths (TSPLIB95, table of optimal solutions). */
export const OPTIMA: Record<string, number> = {
  berlin52: 7542,
  kroA100: 21282,
  ch150: 6528,
  a280: 2579,
  pr1002: 259045,
}

/** Fields of the header that do not change the problem. */
const IGNORED = new Set(['COMMENT', 'NODE_COORD_TYPE', 'DISPLAY_DATA_TYPE', 'EDGE_DATA_FORMAT'])
const HEADER = /^([A-Z][A-Z_0-9]*)\s*(?::\s*(.*))?$/

/** Reads a file of type TSP with EDGE_WEIGHT_TYPE EUC_2D. Throws TsplibError. */
export function readTsplib(file: string): Instance {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new TsplibError(
      file,
      `cannot be read (${(error as Error).message})`,
      'give the path of a .tsp file',
    )
  }
  return parseTsplib(text, file)
}

/** Parses the text of such a file; `file` is for messages. Throws TsplibError. */
export function parseTsplib(text: string, file: string): Instance {
  const lines = text.split(/\r?\n/)
  const header = new Map<string, { value: string; line: number }>()
  let at = 0
  let section = false
  const fail = (line: number, what: string, fix: string): never => {
    throw new TsplibError(`${file}:${line}`, what, fix)
  }

  for (; at < lines.length && !section; at++) {
    const line = (lines[at] as string).trim()
    if (line === '') continue
    if (line === 'EOF') break
    const [, key = '', value = ''] =
      HEADER.exec(line) ??
      fail(
        at + 1,
        `not a TSPLIB header line: ${show(line)}`,
        'write "KEYWORD : value"; or is this another kind of file?',
      )
    if (key === 'NODE_COORD_SECTION') section = true
    else if (key.endsWith('_SECTION'))
      fail(at + 1, `${key} is not supported`, 'only NODE_COORD_SECTION is; take a plain EUC_2D problem')
    else if (header.has(key)) fail(at + 1, `${key} is given twice`, 'remove one of the two lines')
    else header.set(key, { value, line: at + 1 })
  }
  const known = new Set(['NAME', 'TYPE', 'DIMENSION', 'EDGE_WEIGHT_TYPE', ...IGNORED])
  for (const [key, { line }] of header) {
    if (!known.has(key))
      fail(line, `unknown keyword ${key}`, 'remove the line, or take a plain EUC_2D problem')
  }
  const type = header.get('TYPE')
  if (type && !/^TSP\b/.test(type.value)) {
    fail(type.line, `TYPE is ${show(type.value)}, not TSP`, 'take a symmetric problem (TYPE : TSP)')
  }
  const need = (key: string, example: string) =>
    header.get(key) ?? fail(at, `the header has no ${key}`, `add the line "${key} : ${example}"`)
  const metric = need('EDGE_WEIGHT_TYPE', 'EUC_2D')
  if (metric.value !== 'EUC_2D') {
    fail(
      metric.line,
      `EDGE_WEIGHT_TYPE is ${show(metric.value)}, not EUC_2D`,
      'take a problem with plane Euclidean distances (EUC_2D)',
    )
  }
  const dimension = need('DIMENSION', '52')
  const n = Number(dimension.value)
  if (!/^\d+$/.test(dimension.value) || n < 1 || n > 1e6) {
    fail(
      dimension.line,
      `DIMENSION is ${show(dimension.value)}`,
      'give the number of cities, from 1 to 1000000',
    )
  }
  if (!section) fail(at, 'there is no NODE_COORD_SECTION', 'add it, with one line "number x y" per city')

  const x = new Float64Array(n)
  const y = new Float64Array(n)
  const lineOf = new Int32Array(n)
  let count = 0
  for (; at < lines.length; at++) {
    const line = (lines[at] as string).trim()
    if (line === '') continue
    if (line === 'EOF') break
    const fields = line.split(/\s+/)
    const [id = Number.NaN, cx = Number.NaN, cy = Number.NaN] = fields.map(Number)
    if (fields.length !== 3)
      fail(
        at + 1,
        `expected "number x y", got ${show(line)}`,
        count < n ? 'complete the line; the file may be cut off' : 'end the file with EOF',
      )
    if (!Number.isInteger(id) || id < 1 || id > n)
      fail(
        at + 1,
        `${show(fields[0])} is no city number from 1 to ${n}`,
        'number the cities 1, 2, … DIMENSION, or correct DIMENSION',
      )
    if (!Number.isFinite(cx) || !Number.isFinite(cy))
      fail(
        at + 1,
        `city ${id} has coordinates ${show(`${fields[1]} ${fields[2]}`)}`,
        'give two finite numbers',
      )
    const seen = lineOf[id - 1]
    if (seen)
      fail(
        at + 1,
        `city ${id} is given twice (first in line ${seen})`,
        'give every city one number of its own',
      )
    lineOf[id - 1] = at + 1
    x[id - 1] = cx
    y[id - 1] = cy
    count++
  }
  if (count < n) {
    const missing = lineOf.indexOf(0) + 1
    fail(
      at,
      `${count} cities, but DIMENSION is ${n} (city ${missing} is missing)`,
      'is the file cut off? get it again, or correct DIMENSION',
    )
  }
  return { name: header.get('NAME')?.value.trim() || file, x, y }
}

const show = (text = ''): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
