import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { transformSync } from 'esbuild'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { noteFile } from '../../src/capture/cache.ts'
import { mapStack, reviveError } from '../../src/capture/stack.ts'
import { traceOf } from '../../src/capture/trace.ts'
import type { Bundle, Entry } from '../../src/capture/types.ts'
import { entry, entryOf, load, ownCache, project, root } from './setup.ts'

ownCache()

const MAIN = `import { check } from './lib/check.ts'
interface Input {
  value: number
}

const local = (input: Input): number => {
  if (input.value === 1) throw new RangeError('one is not allowed')
  return check(input.value)
}
/** Several lines of types and comments, so that lines move. */
type Unused = { [K in keyof Input]: string }

export const job = async (value: number): Promise<number> => {
  const input: Input = { value }
  await null
  return local(input)
}
`
const CHECK = `export class ValidationError extends Error {
  override name = 'ValidationError'
}

export function check(value: number): number {
  if (value === 2) throw new ValidationError('two', { cause: new TypeError('inner') })
  if (value === 3) throw new AggregateError([new Error('a'), new Error('b')], 'three')
  return value
}
`

/** `line:column` (from 1) of a text in a source. */
function at(source: string, text: string): string {
  const offset = source.indexOf(text)
  const before = source.slice(0, offset)
  return `${before.split('\n').length}:${offset - before.lastIndexOf('\n')}`
}

/** The entry that capture makes of `job` in code that a tool compiled and runs, with every position mapped. */
function captured(script: string, scriptMap: string, file: string, dir: string): Entry {
  const trace = traceOf(scriptMap, dir)
  const functions = ['local', 'job'].map((name) => {
    const start = script.indexOf(`const ${name} = `)
    return { start, text: script.slice(start, script.indexOf('\n};', start) + 3) }
  })
  const mappings: number[][][] = [[]] // first line: the import
  let text = `import { check } from './lib/check.ts'\n`
  for (const { start, text: code } of functions) {
    let row = script.slice(0, start).split('\n').length - 1
    for (const [i, line] of code.split('\n').entries()) {
      const offset = i === 0 ? start - (script.lastIndexOf('\n', start) + 1) : 0
      mappings.push(
        [...line].flatMap((_, column) => {
          const at = trace?.(row + 1, column + offset + 1)
          return at ? [[column, 0, at.line - 1, at.column - 1]] : []
        }),
      )
      row++
    }
    text += `${code}\n`
  }
  text += 'export default () => ({ fn: job, entities: [] })\n'
  return entry(text, dir, { version: 3, sources: [file], names: [], mappings })
}

let dir: string
let made: Bundle
let fn: (value: number) => Promise<unknown>

beforeAll(async () => {
  dir = project({ 'main.ts': MAIN, 'lib/check.ts': CHECK })
  const { code, map } = transformSync(MAIN, { loader: 'ts', sourcemap: 'external', sourcefile: 'main.ts' })
  made = await bundle(captured(code, map, join(dir, 'main.ts'), dir))
  fn = (await load(made)) as typeof fn
})

async function thrown(value: number): Promise<Error> {
  const error = await fn(value).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof Error)) throw new Error('nothing was thrown')
  return error
}

const frames = (stack: string | undefined) =>
  (stack ?? '').split('\n').filter((line) => line.startsWith('    at '))

describe('places in a bundle become places in the source', () => {
  test('through bundle and entry: functions of the calling file', async () => {
    const error = reviveError(await thrown(1), { bundle: made })
    expect(error.stack?.split('\n')[0]).toBe('RangeError: one is not allowed')
    expect(frames(error.stack).slice(0, 2)).toEqual([
      `    at local (${dir}/main.ts:${at(MAIN, 'new RangeError')})`,
      `    at job (${dir}/main.ts:${at(MAIN, 'local(input)\n}')})`,
    ])
    expect(error.stack).not.toContain(made.hash)
  })

  test('imported modules, and the causes of an error', async () => {
    const error = reviveError(await thrown(2), { bundle: made })
    expect(frames(error.stack)[0]).toBe(
      `    at check (${dir}/lib/check.ts:${at(CHECK, 'new ValidationError')})`,
    )
    expect(frames(error.stack)[1]).toBe(`    at local (${dir}/main.ts:${at(MAIN, 'check(input')})`)
    expect(frames((error.cause as Error).stack)[0]).toBe(
      `    at check (${dir}/lib/check.ts:${at(CHECK, 'new TypeError')})`,
    )
  })

  test('the errors of an AggregateError; cycles end', async () => {
    const error = (await thrown(3)) as AggregateError
    error.cause = error
    error.errors[0].cause = error.errors
    error.errors[1].cause = error
    reviveError(error, { bundle: made })
    for (const inner of error.errors) {
      const name = inner.message === 'a' ? `new Error('a')` : `new Error('b')`
      expect(frames(inner.stack)[0]).toBe(`    at check (${dir}/lib/check.ts:${at(CHECK, name)})`)
    }
  })

  test('two functions with the same code keep their own places', async () => {
    const same = (file: string) => ({
      ...entry(`export default () => ({ fn: () => { throw new Error('x') }, entities: [] })`, dir),
      map: () => ({ version: 3, sources: [file], names: [], mappings: [[[0, 0, 9, 0]]] }),
    })
    const [a, b] = [await bundle(same('/a.ts')), await bundle(same('/b.ts'))]
    expect(a.hash).toBe(b.hash)
    const stack = `Error: x\n    at fn (file:///elsewhere/${a.hash}.mjs:1:40)`
    expect(mapStack(stack, { bundle: a })).toContain('/a.ts:10:1')
    expect(mapStack(stack, { bundle: b })).toContain('/b.ts:10:1')
  })

  test('a bundle of an earlier process', async () => {
    const helper = `export function fail(): never {\n  throw new Error('far')\n}`
    const own = project({ 'fail.ts': helper })
    const made = await bundle(entryOf(`import { fail } from './fail.ts'`, '() => fail()', own))
    vi.resetModules()
    const later = await import('../../src/capture/bundle.ts')
    const stack = await import('../../src/capture/stack.ts')
    const again = await later.bundle(entryOf(`import { fail } from './fail.ts'`, '() => fail()', own))
    const error = await load(again).then((fn) => {
      try {
        return fn()
      } catch (reason) {
        return reason
      }
    })
    expect(again).toEqual(made)
    expect(frames(stack.reviveError(error, { bundle: again }).stack)[0]).toBe(
      `    at fail (${own}/fail.ts:2:9)`,
    )
  })

  test('a map that is gone leaves the stack readable', async () => {
    const own = project({ 'fail.ts': `export const fail = () => { throw new Error('gone') }` })
    const made = await bundle(entryOf(`import { fail } from './fail.ts'`, '() => fail()', own))
    rmSync(noteFile('map', ''), { recursive: true })
    const stack = `Error: gone\n    at fail (file:///x/${made.hash}.mjs:2:30)\n    at other (/some/file.js:1:1)`
    expect(mapStack(stack, { bundle: made })).toBe(stack)
  })
})

describe('what is shown', () => {
  const hash = () => made.hash

  test('frames of the runner and of Node.js below the function are dropped, others stay', () => {
    const place = `file:///cache/${hash()}.mjs:2:1`
    const real = mapStack(`E\n    at f (${firstPlace()})`)
    expect(real).toMatch(/^E\n {4}at f \(.*(main|check)\.ts:\d+:\d+\)$/)
    const stack = [
      'Error: message with\n    lines',
      '    at readFileSync (node:fs:453:20)',
      '    at Object.inner (node:internal/x:1:1)',
      `    at f (${firstPlace()})`,
      `    at glue (${place})`,
      `    at async run (file://${root}/dist/runner.js:10:3)`,
      `    at run (${root}/src/runner/executor.ts:10:3)`,
      '    at run (/usr/lib/node_modules/dicomp/dist/chunks/x.js:1:2)',
      '    at MessagePort.emit (node:internal/worker:1:1)',
      '    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
      '    at new Promise (<anonymous>)',
      '    at outer (/home/me/preload.js:1:1)',
    ].join('\n')
    expect(
      mapStack(stack)
        .split('\n')
        .map((line) => line.replace(/\(.*[/](main|check)\.ts:.*/, '(traced)')),
    ).toEqual([
      'Error: message with',
      '    lines',
      '    at readFileSync (node:fs:453:20)',
      '    at Object.inner (node:internal/x:1:1)',
      '    at f (traced)',
      '    at outer (/home/me/preload.js:1:1)',
    ])
  })

  test('every way in which engines write a frame', () => {
    const [, , line, column] = /^(.*):(\d+):(\d+)$/.exec(firstPlace()) ?? []
    const where = `${hash()}.mjs:${line}:${column}`
    for (const frame of [
      `at f (file:///a/b/${where})`,
      `at file:///a/b/${where}`,
      `at async f (file:///a/b%20c/${where})`,
      `at f (/a b/${where})`,
      `at f (C:\\a\\${where})`,
      `at new K (file:///a/${hash()}.mjs?v=1:${line}:${column})`,
      `at Object.f [as g] (file:///a/${where})`,
    ]) {
      const shown = mapStack(`E\n    ${frame}`)
      expect(shown).not.toContain(hash())
      expect(shown).toMatch(/(main|check)\.ts:\d+:\d+\)?$/)
    }
  })

  test('the name of the distributed function instead of a computed key', () => {
    const stack = `E\n    at S.f.<computed> (${firstPlace()})\n    at async S.f.<computed> (${firstPlace()})`
    expect(frames(mapStack(stack, { name: 'job' }))[1]).toMatch(/^ {4}at async job \(/)
    expect(frames(mapStack(stack, { name: 'job' }))[0]).toMatch(/^ {4}at \//)
  })

  test('the stack of the caller follows', async () => {
    const callerStack = [
      'Error: not shown',
      `    at call (${root}/src/api/distribute.ts:1:1)`,
      '    at caller (/home/me/app.ts:24:85)',
      '    at ModuleJob.run (node:internal/modules/esm/module_job:1:1)',
    ].join('\n')
    const error = reviveError(await thrown(1), { bundle: made, callerStack, slot: 'thread 1' })
    expect(frames(error.stack).slice(-2)).toEqual([
      '    at --- sent to thread 1 by ---',
      '    at caller (/home/me/app.ts:24:85)',
    ])
    expect(Object.keys(error)).not.toContain('stack')
  })

  test('what is no error stays what it is', () => {
    for (const value of [undefined, null, 'text', 7, { a: 1 }]) {
      expect(reviveError(value, { callerStack: 'Error\n    at x (/y.ts:1:1)' })).toBe(value)
    }
    const frozen = Object.freeze(new Error('frozen'))
    expect(reviveError(frozen, { callerStack: 'Error\n    at x (/y.ts:1:1)' })).toBe(frozen)
  })

  /** A place in the bundle that has a source. */
  function firstPlace(): string {
    return `file:///cache/${hash()}.mjs:2:${code().indexOf('throw') + 1}`
  }
})

const code = () => readFileSync(made.file, 'utf8').split('\n')[1] ?? ''
