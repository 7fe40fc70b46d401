import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { originalPositionFor, TraceMap } from '@jridgewell/trace-mapping'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { capture } from '../../src/capture/capture.ts'
import { CaptureError } from '../../src/errors.ts'
import { distribute, task } from '../../src/index.ts'
import { job, nested } from './fixtures/throwing.ts'
import { builtLibrary, cleanUp, FIXTURES, instantiate, run, WORK } from './support.ts'

afterAll(cleanUp)
beforeAll(() => {
  mkdirSync(WORK, { recursive: true })
})

describe('the text', () => {
  test('is an ES module that gives the function and the entities', async () => {
    const factor = 3
    const captured = capture((n: number) => n * factor)
    expect(captured.entry.hasImports).toBe(false)
    expect(captured.name).toBe('distributed')
    const { fn, entities } = await instantiate(captured)
    expect(fn(2)).toBe(6)
    expect(entities).toEqual([fn])
    expect(fn.name).toBe('distributed')
  })

  test('does not depend on the captured values', () => {
    const make = (by: number, list: unknown[]) => (x: number) => [x * by, list]
    const [a, b] = [make(1, [1]), make(2, [{ other: 'shape' }])].map((fn) => capture(fn).entry.text)
    expect(a).toBe(b)
  })

  test('is the same for the same function', () => {
    expect(capture(job).entry.text).toBe(capture(job).entry.text)
  })

  test('keeps names', async () => {
    const named = function recursive(n: number): number {
      return n === 0 ? 0 : recursive(n - 1)
    }
    const captured = capture(named)
    expect(captured.name).toBe('recursive')
    expect((await instantiate(captured)).fn.name).toBe('recursive')
  })

  test('entities are in the same order here and there', async () => {
    class Shape {
      side = 1
    }
    const helper = (shape: Shape) => shape.side
    const fn = () => [helper(new Shape()), Math.max]
    const captured = capture(fn)
    const { entities } = await instantiate(captured)
    expect(captured.entities.indexOf(fn)).toBe(0)
    expect(captured.entities.indexOf(String)).toBeUndefined()
    for (const each of [Shape, helper]) {
      const index = captured.entities.indexOf(each) as number
      expect(captured.entities.at(index)).toBe(each)
      expect(entities[index]?.name).toBe(each.name)
    }
  })

  test('a class of Node.js is no entity for others: its instances must not travel', async () => {
    const { Server } = await import('node:net')
    const captured = capture(() => typeof Server)
    expect(captured.entities.indexOf(Server)).toBeUndefined()
    const { entities } = await instantiate(captured)
    expect(entities).not.toContain(Server)
  })

  test('imports resolve from the file of the function', () => {
    const { entry } = capture(nested, { site: `${FIXTURES}/throwing.ts` })
    expect(entry.resolveDir).toBe(FIXTURES)
  })
})

describe('distributed functions and the library', () => {
  const runtime = Symbol.for('dicomp.runtime')
  test('a handle is made again in the slot', async () => {
    const by = 5
    const handle = distribute((n: number) => n * by, { retries: 2, timeout: '3s', name: 'inner' })
    const captured = capture(async (n: number) => await handle(n))
    const made: unknown[] = []
    const slots = globalThis as { [key: symbol]: unknown }
    const before = slots[runtime]
    slots[runtime] = {
      distribute: (fn: (n: number) => number, options: unknown) => {
        made.push(options)
        return async (n: number) => `distributed ${fn(n)}`
      },
    }
    try {
      const { fn } = await instantiate(captured)
      expect(await fn(3)).toBe('distributed 15')
      expect(made).toEqual([{ retries: 2, timeout: '3s', name: 'inner' }])
    } finally {
      slots[runtime] = before
    }
  })

  test('the library itself stays out: its names come from the runtime of the slot', () => {
    const captured = capture(() => [task.attempt, distribute])
    expect(captured.entry.hasImports).toBe(false)
    expect(captured.entry.text).toContain("= globalThis[Symbol.for('dicomp.runtime')].task")
    expect(captured.entry.text.length).toBeLessThan(400)
  })

  test('an option that cannot travel is refused', () => {
    const { signal } = new AbortController()
    const handle = distribute((n: number) => n, { signal })
    const attempt = () => capture(() => handle(1))
    expect(attempt).toThrow(CaptureError)
    expect(attempt).toThrow(/AbortSignal[\s\S]*\.options\.signal/)
  })
})

describe('the source map', () => {
  const source = readFileSync(`${FIXTURES}/throwing.ts`, 'utf8').split('\n')
  const lineOf = (mark: string) => 1 + source.findIndex((line) => line.endsWith(`// ${mark}`))

  /** Runs an entry in a process of its own; the frames of its error, mapped back: `file:line`. */
  async function failure(text: string, map: object, env: string, input: number): Promise<string[]> {
    const file = `${WORK}/${Math.random().toString(36).slice(2)}.mjs`
    writeFileSync(file, text)
    const program = `
      const { default: make } = await import('${pathToFileURL(file).href}')
      try { await make(() => ${env}).fn(${input}) } catch (error) { console.log(error.stack) }`
    const { output } = await run(['--input-type=module', '-e', program])
    const trace = new TraceMap(map as never)
    return [...output.matchAll(/([^\s(]+):(\d+):(\d+)\)?$/gm)].flatMap(([, url, line, column]) => {
      if (url !== pathToFileURL(file).href) return []
      const found = originalPositionFor(trace, { line: Number(line), column: Number(column) - 1 })
      return [`${found.source}:${found.line}`]
    })
  }

  test.each([
    ['job', ['thrown here', 'called here']],
    ['nested', ['property', 'nested', 'nested']],
  ])('vitest: %s fails where the TypeScript says', async (name, marks) => {
    const { entry } = capture(name === 'job' ? job : nested, { site: `${FIXTURES}/throwing.ts` })
    const frames = await failure(entry.text, entry.map() as object, "[[{ url: 'x' }], []]", 9)
    expect(frames).toEqual(marks.map((mark) => `${FIXTURES}/throwing.ts:${lineOf(mark)}`))
  })

  test('tsx: the map leads through its one-line output to the TypeScript', async () => {
    const program = `
      import { writeFileSync } from 'node:fs'
      const [file, library, out] = process.argv.slice(2)
      const { capture } = await import(library)
      const { job } = await import(file)
      const { text, map } = capture(job, { site: file }).entry
      writeFileSync(out, JSON.stringify({ text, map: map() }))`
    writeFileSync(`${WORK}/map.mjs`, program)
    const out = `${WORK}/map.json`
    const file = `${FIXTURES}/throwing.ts`
    const { code, output } = await run([
      '--import',
      import.meta.resolve('tsx'),
      `${WORK}/map.mjs`,
      file,
      builtLibrary(),
      out,
    ])
    expect(output).toBe('')
    expect(code).toBe(0)
    const { text, map } = JSON.parse(readFileSync(out, 'utf8')) as { text: string; map: object }
    const frames = await failure(text, map, '[[], []]', 9)
    expect(frames).toEqual(
      ['thrown here', 'called here'].map((mark) => `${FIXTURES}/throwing.ts:${lineOf(mark)}`),
    )
  })

  test('a function without captures has a map too', () => {
    const { entry } = capture((n: number) => n + 1)
    const map = entry.map() as { sources: string[]; mappings: string }
    expect(map.sources).toEqual([expect.stringMatching(/entry\.test\.ts$/)])
    expect(map.mappings).not.toBe('')
  })
})

describe('warnings', () => {
  test('assignments to captured variables, and the state of the process', () => {
    let count = 0
    const { warnings } = capture(() => {
      count++
      if (count > 5) return
      return process.env.HOME ?? process.argv.length
    })
    expect(warnings.map(({ reason }) => reason).sort()).toEqual([
      'PROCESS_STATE',
      'PROCESS_STATE',
      'WRITES_CAPTURED',
    ])
    const line =
      1 +
      readFileSync(import.meta.filename, 'utf8')
        .split('\n')
        .findIndex((each) => each.trim() === 'count++')
    expect(warnings.find(({ reason }) => reason === 'WRITES_CAPTURED')?.at).toMatch(
      new RegExp(`entry\\.test\\.ts:${line}:\\d+$`),
    )
    expect(capture(() => process.version).warnings).toEqual([])
  })
})
