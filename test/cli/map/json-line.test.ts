import { expect, test } from 'vitest'
import { formatFailure, formatLine, parseLine } from '../../../src/cli/map/json-line.ts'

const record = (text: string, line = 7) => ({ index: 0, line, text })
const json = { text: false, source: 'in.jsonl' }

test('a line is a JSON value, or text with --lines', () => {
  expect(parseLine(record('{"a":[1,null]}'), json)).toEqual({ a: [1, null] })
  expect(parseLine(record('{"a":1}'), { ...json, text: true })).toBe('{"a":1}')
})

test('a line that is no JSON is named by number, shown, and a fix is given', () => {
  expect(() => parseLine(record('{"a":1,}'), json)).toThrow(
    expect.objectContaining({
      code: 'DICOMP_E_LINE',
      message: expect.stringMatching(
        /^Cannot use line 7 of in\.jsonl: it is not JSON: [\s\S]*\{"a":1,\}[\s\S]*--keep-going/,
      ),
    }),
  )
})

test('a pretty-printed document is recognised by its first line', () => {
  expect(() => parseLine(record('[', 1), json)).toThrow(/one JSON document.*jq -c '\.\[\]' in\.jsonl/)
})

test('results become lines', () => {
  const lines = [1, 'a\nb', null, undefined, { d: new Date(0) }, Number.NaN].map((v) =>
    formatLine(v, { text: false }),
  )
  expect(lines).toEqual([
    '1\n',
    '"a\\nb"\n',
    'null\n',
    'null\n',
    '{"d":"1970-01-01T00:00:00.000Z"}\n',
    'null\n',
  ])
  expect(['plain', undefined, 3].map((v) => formatLine(v, { text: true }))).toEqual(['plain\n', '\n', '3\n'])
})

test.each([
  ['a Map', { deep: [{ map: new Map([[1, 2]]) }] }, 'result.deep[0].map is a Map'],
  ['a Set', new Set([1]), 'result is a Set'],
  ['a typed array', [new Float64Array(2)], 'result[0] is a typed array'],
  ['a BigInt', { n: 1n }, 'result.n is a BigInt'],
  ['an Error', { e: new Error('x') }, 'result.e is an Error'],
])('what JSON would lose without a word is refused: %s', (_, value, message) => {
  expect(() => formatLine(value, { text: false })).toThrow(message)
})

test('a cycle is refused, a value used twice is not', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  expect(() => formatLine(cycle, { text: false })).toThrow('result.self is a reference back')
  const twice = { x: 1 }
  expect(formatLine([twice, twice], { text: false })).toBe('[{"x":1},{"x":1}]\n')
})

test('a failure keeps its input, so that it can be fed in again', () => {
  const error = Object.assign(new TypeError('bad'), {
    code: 'E_BAD',
    stack: 'TypeError: bad\n    at task.ts:1:1',
  })
  expect(JSON.parse(formatFailure(record('{"a":1}'), { a: 1 }, error))).toEqual({
    line: 7,
    error: { name: 'TypeError', message: 'bad', code: 'E_BAD', stack: error.stack },
    input: { a: 1 },
  })
  expect(JSON.parse(formatFailure(record('x'), 'x', 'thrown text')).error).toEqual({
    name: 'string',
    message: 'thrown text',
  })
})
