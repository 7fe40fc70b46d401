import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import * as errors from '../../src/errors.ts'
import { ERRORS } from '../../src/errors.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const src = join(root, 'src')

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : sources(path)
    return /\.m?ts$/.test(entry.name) ? [path] : []
  })
}

/**
 * What each part of src may import, beside itself. One way, from top to bottom: nobody imports what is above it.
 * `contracts` are files that only declare what two neighbours say to each other; they may be imported as types.
 */
const ALLOWED: Record<string, string[]> = {
  cli: ['index', 'progress', 'errors', 'capture', 'server', 'nats', 'node', 'api', 'detached', 'engine'],
  progress: [],
  index: ['api', 'codec', 'errors', 'task'],
  library: ['api', 'engine', 'capture', 'errors', 'task'],
  api: ['detached', 'capture', 'engine', 'core', 'codec', 'slot', 'errors'],
  capture: ['codec', 'errors'],
  detached: ['engine', 'nats', 'capture', 'core', 'slot', 'codec', 'errors'],
  engine: ['core', 'nats', 'slot', 'codec', 'errors'],
  server: ['nats', 'errors'],
  node: ['engine', 'nats', 'capture', 'slot', 'codec', 'errors'],
  nats: ['codec', 'slot', 'errors'],
  slot: ['codec', 'errors'],
  runner: ['slot', 'codec', 'errors', 'task'],
  codec: ['errors'],
  core: ['errors'],
  task: [],
  errors: [],
}
const CONTRACTS = ['src/capture/types.ts', 'src/slot/protocol.ts', 'src/engine/engine.ts']

const partOf = (file: string) => relative(src, file).split(/[\\/.]/)[0] ?? ''

interface Import {
  from: string
  to: string
  typeOnly: boolean
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  const pattern =
    /^\s*(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s*)?['"](\.[^'"]+)['"]|\bimport\(\s*['"](\.[^'"]+)['"]\s*\)/gm
  return [...text.matchAll(pattern)].map((match) => ({
    from: file,
    to: resolve(dirname(file), match[2] ?? match[3] ?? ''),
    typeOnly: match[1] !== undefined,
  }))
}

test('imports between the parts of src go one way', () => {
  const wrong = sources(src)
    .flatMap(importsOf)
    .filter(({ from, to, typeOnly }) => {
      const [here, there] = [partOf(from), partOf(to)]
      if (here === there || ALLOWED[here]?.includes(there)) return false
      return !(typeOnly && CONTRACTS.includes(relative(root, to)))
    })
    .map(({ from, to }) => `${relative(root, from)} imports ${relative(root, to)}`)
  expect(wrong).toEqual([])
})

test('every part of src has its place in that order, and the order has no cycle', () => {
  expect([...new Set(sources(src).map(partOf))].filter((part) => !(part in ALLOWED))).toEqual([])
  const below = (part: string, path: string[]): void => {
    expect(path).not.toContain(part)
    for (const next of ALLOWED[part] ?? []) below(next, [...path, part])
  }
  for (const part of Object.keys(ALLOWED)) below(part, [])
})

test('no source file is longer than 600 lines', () => {
  const folders = ['src', 'test', 'bench', 'examples', 'scripts'].map((name) => join(root, name))
  const long = folders
    .flatMap(sources)
    .map((file) => [relative(root, file), readFileSync(file, 'utf8').split('\n').length] as const)
    .filter(([, lines]) => lines > 600)
  expect(long).toEqual([])
})

describe('docs/errors.md', () => {
  const docs = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const rows = [...docs.matchAll(/^\| `(DICOMP_E_\w+)` \| `(\w+)` \| (.*?) \| (.+) \|$/gm)]

  test('lists exactly the codes of src/errors.ts, with what they mean', () => {
    expect(rows.map((row) => [row[1], row[3]])).toEqual(Object.entries(ERRORS))
  })

  test('names classes that exist', () => {
    for (const row of rows) expect(errors).toHaveProperty(row[2] ?? '')
  })
})

test('every code that the sources raise is in the table', () => {
  const used = sources(src).flatMap(
    (file) => readFileSync(file, 'utf8').match(/DICOMP_E_[A-Z_]+[A-Z]/g) ?? [],
  )
  expect([...new Set(used)].filter((code) => !(code in ERRORS))).toEqual([])
})
