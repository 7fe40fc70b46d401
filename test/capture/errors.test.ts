import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { capture } from '../../src/capture/capture.ts'
import { CaptureError } from '../../src/errors.ts'
import { refused } from './fixtures/errors.ts'
import { builtLibrary, cleanUp, FIXTURES, run, WORK } from './support.ts'

afterAll(cleanUp)
const file = `${FIXTURES}/errors.ts`
const lines = readFileSync(file, 'utf8').split('\n')

/** `@{text}` → `errors.ts:<line>`. */
const places = (path: readonly string[]) =>
  path.map((line) =>
    line.replace(
      /@\{(.*?)\}/g,
      (_, text: string) => `errors.ts:${1 + lines.findIndex((each) => each.includes(text))}`,
    ),
  )
/** The same without columns and directories. */
const plain = (path: readonly string[]) =>
  path.map((line) => line.replace(/[^\s(]*(errors\.ts:\d+):\d+/g, '$1'))

function refusal(fn: () => unknown): CaptureError {
  try {
    capture(fn, { site: file })
  } catch (error) {
    if (error instanceof CaptureError) return error
    throw error
  }
  throw new Error('it was captured')
}

describe('what cannot travel is refused, with the way to it', () => {
  test.each(refused.map((each) => [each.name, each] as const))('%s', (_, { fn, reason, says, fix, path }) => {
    const error = refusal(fn)
    expect(error.reason).toBe(reason)
    expect(error.message).toMatch(says)
    expect(error.fix).toMatch(fix)
    expect(error.code).toBe('DICOMP_E_CAPTURE')
    expect(error.path[0]).toMatch(/^(function|class) .* \(.*errors\.ts:\d+:\d+\)$|^function /)
    expect(error.message).toContain(error.path.join('\n').split('\n')[0])
    if (path) expect(plain(error.path)).toEqual(places(path))
  })
})

describe('under other loaders', () => {
  const program = `
    import { readFileSync } from 'node:fs'
    const [file, library] = process.argv.slice(2)
    globalThis.__capture = (await import(library)).capture
    globalThis.__site = file
    const { refused, early } = await import(file)
    const all = refused.map(({ name, fn, reason }) => {
      try {
        __capture(fn, { site: file })
        return { name, wanted: reason }
      } catch (error) {
        return { name, wanted: reason, reason: error.reason, path: error.path }
      }
    })
    console.log(JSON.stringify({ all, early }))
    process.exit()`

  test('tsx: the same reasons and the same places of the TypeScript source', async () => {
    mkdirSync(WORK, { recursive: true })
    writeFileSync(`${WORK}/refusals.mjs`, program)
    const { output } = await run([
      '--import',
      import.meta.resolve('tsx'),
      `${WORK}/refusals.mjs`,
      file,
      builtLibrary(),
    ])
    const { all, early } = JSON.parse(output.slice(output.indexOf('{'))) as {
      all: { name: string; wanted: string; reason: string; path: string[] }[]
      early: string[]
    }
    expect(all).toHaveLength(refused.length)
    for (const [index, { name, reason, wanted, path }] of all.entries()) {
      expect([name, reason]).toEqual([name, wanted])
      const expected = refused[index]?.path
      if (expected) expect([name, plain(path)]).toEqual([name, places(expected)])
    }
    const late = (name: string) =>
      places([
        `function (anonymous) (@{() => tooLate, () => late})`,
        `captures '${name}' at @{() => tooLate, () => late} (declared at @{${name} = })`,
      ])
    expect(early).toEqual([
      'TDZ',
      expect.stringContaining("captures 'tooLate'"),
      'TDZ',
      expect.stringContaining("captures 'lateCall'"),
      'TDZ',
      expect.stringContaining("captures 'LateClass'"),
      'bindings',
    ])
    expect(plain((early[1] as string).split(' | '))).toEqual(late('tooLate'))
  })

  test('--permission: no inspector, and the way out is named', async () => {
    mkdirSync(WORK, { recursive: true })
    const text = `
      const { capture } = await import(process.argv[2])
      const captured = 1
      console.log(capture((n) => n * 2).entry.text.includes('n * 2'))
      try { capture((n) => n * captured) } catch (error) { console.log(error.reason, error.fix) }`
    writeFileSync(`${WORK}/permission.mjs`, text)
    const flag =
      Number(process.versions.node.split('.')[0]) < 23 ? '--experimental-permission' : '--permission'
    const { output } = await run([flag, '--allow-fs-read=*', `${WORK}/permission.mjs`, builtLibrary()])
    expect(output).toMatch(/^true$/m)
    expect(output).toMatch(/^INSPECTOR .*distribute\.module/m)
  })

  test('CommonJS: the module object, and require as a value', async () => {
    mkdirSync(WORK, { recursive: true })
    const text = `
      exports.a = 1
      const tries = [() => module.id, () => Object.keys(exports), () => require.resolve('x'), (name) => require(name)]
      import(process.argv[2]).then(({ capture }) => {
        for (const fn of tries) try { capture(fn); console.log('captured') } catch (error) { console.log(error.reason) }
      })`
    writeFileSync(`${WORK}/refusals.cjs`, text)
    const { output } = await run([`${WORK}/refusals.cjs`, builtLibrary()])
    expect(output.trim().split('\n')).toEqual(['NAMESPACE', 'NAMESPACE', 'DYNAMIC_IMPORT', 'DYNAMIC_IMPORT'])
  })
})
