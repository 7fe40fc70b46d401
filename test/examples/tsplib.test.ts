import { describe, expect, it } from 'vitest'
import { distance, problemOf } from '../../examples/tsp/geometry.ts'
import { OPTIMA, parseTsplib, readTsplib, TsplibError } from '../../examples/tsp/tsplib.ts'

const GOOD = `NAME : four
TYPE : TSP
COMMENT : a square
DIMENSION : 4
EDGE_WEIGHT_TYPE : EUC_2D
NODE_COORD_SECTION
1 0 0
2 0 1e1
 3  10.0 10
4 10 0
EOF
`

describe('a good file', () => {
  it('gives name and coordinates in the order of the city numbers', () => {
    const instance = parseTsplib(GOOD, 'four.tsp')
    expect(instance.name).toBe('four')
    expect([...instance.x]).toEqual([0, 0, 10, 10])
    expect([...instance.y]).toEqual([0, 10, 10, 0])
  })

  it.each([
    ['cities in another order', GOOD.replace('1 0 0\n', '').replace('EOF', '1 0 0\nEOF')],
    ['no EOF', GOOD.replace('EOF\n', '')],
    ['Windows line ends', GOOD.replaceAll('\n', '\r\n')],
    ['no spaces before the colon', GOOD.replaceAll(' :', ':')],
    ['empty lines', GOOD.replaceAll('\n', '\n\n')],
  ])('may have %s', (_, text) => {
    expect([...parseTsplib(text, 'four.tsp').x]).toEqual([0, 0, 10, 10])
  })

  it.each(Object.keys(OPTIMA))('%s is read', (name) => {
    const instance = readTsplib(`examples/tsp/data/${name}.tsp`)
    expect(instance.name).toBe(name)
    expect(instance.x.length).toBe(Number(/\d+/.exec(name)?.[0]))
  })
})

describe('a broken file is refused with line and fix', () => {
  const edit = (from: string, to: string) => {
    expect(GOOD).toContain(from)
    return GOOD.replace(from, to)
  }
  it.each([
    ['another metric', edit('EUC_2D', 'GEO'), 'f.tsp:5: EDGE_WEIGHT_TYPE is "GEO", not EUC_2D'],
    ['no metric', edit('EDGE_WEIGHT_TYPE : EUC_2D\n', ''), 'f.tsp:5: the header has no EDGE_WEIGHT_TYPE'],
    ['another type', edit('TYPE : TSP', 'TYPE : ATSP'), 'f.tsp:2: TYPE is "ATSP", not TSP'],
    ['no dimension', edit('DIMENSION : 4\n', ''), 'f.tsp:5: the header has no DIMENSION'],
    ['no number as dimension', edit('DIMENSION : 4', 'DIMENSION : four'), 'f.tsp:4: DIMENSION is "four"'],
    ['dimension 0', edit('DIMENSION : 4', 'DIMENSION : 0'), 'f.tsp:4: DIMENSION is "0"'],
    ['a dimension beyond reason', edit('DIMENSION : 4', 'DIMENSION : 99999999'), 'f.tsp:4: DIMENSION is'],
    ['no coordinates', GOOD.slice(0, GOOD.indexOf('NODE_')), 'there is no NODE_COORD_SECTION'],
    [
      'another section',
      edit('NODE_COORD_SECTION', 'EDGE_WEIGHT_SECTION'),
      'f.tsp:6: EDGE_WEIGHT_SECTION is not supported',
    ],
    ['a keyword twice', edit('COMMENT : a square', 'TYPE : TSP'), 'f.tsp:3: TYPE is given twice'],
    ['an unknown keyword', edit('COMMENT', 'CAPACITY'), 'f.tsp:3: unknown keyword CAPACITY'],
    ['a word as coordinate', edit('10.0 10', 'ten 10'), 'f.tsp:9: city 3 has coordinates "ten 10"'],
    ['NaN as coordinate', edit('10.0 10', 'NaN 10'), 'f.tsp:9: city 3 has coordinates "NaN 10"'],
    ['an infinite coordinate', edit('10.0 10', '1e999 10'), 'f.tsp:9: city 3 has coordinates "1e999 10"'],
    ['a coordinate too few', edit('4 10 0', '4 10'), 'f.tsp:10: expected "number x y", got "4 10"'],
    ['a coordinate too many', edit('4 10 0', '4 10 0 7'), 'f.tsp:10: expected "number x y"'],
    ['a city twice', edit('4 10 0', '2 10 0'), 'f.tsp:10: city 2 is given twice (first in line 8)'],
    ['city 0', edit('4 10 0', '0 10 0'), 'f.tsp:10: "0" is no city number from 1 to 4'],
    ['one city too many', edit('4 10 0', '4 10 0\n5 1 1'), 'f.tsp:11: "5" is no city number from 1 to 4'],
    ['one city too few', edit('2 0 1e1\n', ''), 'f.tsp:9: 3 cities, but DIMENSION is 4 (city 2 is missing)'],
    [
      'a cut within a line',
      GOOD.slice(0, GOOD.indexOf('10.0') + 4),
      'f.tsp:9: expected "number x y", got "3  10.0"',
    ],
    [
      'a cut after a line',
      GOOD.slice(0, GOOD.indexOf('4 10 0')),
      '3 cities, but DIMENSION is 4 (city 4 is missing)',
    ],
    ['nothing in it', '', 'the header has no EDGE_WEIGHT_TYPE'],
    ['something else in it', '{"json": true}', 'f.tsp:1: not a TSPLIB header line'],
    ['bytes in it', '\x00\x01\u{fffd}', 'f.tsp:1: not a TSPLIB header line'],
  ])('%s', (_, text, message) => {
    let caught: unknown
    try {
      parseTsplib(text, 'f.tsp')
    } catch (error) {
      caught = error
    }
    expect(caught).toBeInstanceOf(TsplibError)
    expect((caught as Error).message).toContain(message)
    expect((caught as Error).message).toMatch(/^f\.tsp:\d+: .+\n {2}Fix: .+/)
  })

  it('a file that is not there, a directory', () => {
    expect(() => readTsplib('nowhere.tsp')).toThrow(/^nowhere\.tsp: cannot be read \(ENOENT/)
    expect(() => readTsplib('examples')).toThrow(/^examples: cannot be read \(EISDIR/)
  })
})

describe('distance', () => {
  it('is rounded to the nearest integer, halves up, as TSPLIB defines', () => {
    const p = problemOf(Float64Array.of(0, 0, 3, 0.5, 1), Float64Array.of(0, 1, 4, 0, 1))
    expect(distance(p, 0, 1)).toBe(1)
    expect(distance(p, 0, 2)).toBe(5)
    expect(distance(p, 0, 3)).toBe(1) // 0.5
    expect(distance(p, 0, 4)).toBe(1) // 1.41
    expect(distance(p, 1, 2)).toBe(4) // 4.24
  })

  it('neighbours are the nearest ones, nearest first', () => {
    const p = problemOf(Float64Array.of(0, 10, 1, 4), Float64Array.of(0, 0, 0, 0), 2)
    expect([...p.near.subarray(0, 2)]).toEqual([2, 3])
    expect([...p.near.subarray(2, 4)]).toEqual([3, 2])
  })
})
