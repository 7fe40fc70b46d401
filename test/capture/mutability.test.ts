/* biome-ignore-all lint/complexity/noStaticOnlyClass: the static fields are what is tested */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { capture } from '../../src/capture/capture.ts'
import { Programs } from '../../src/capture/program.ts'
import { decode } from '../../src/codec/decode.ts'
import type { Encoded } from '../../src/codec/index.ts'
import { EncodeError } from '../../src/errors.ts'
import { builtLibrary, cleanUp, instantiate, lookup, project, run, shipSuite, WORK } from './support.ts'

afterAll(cleanUp)
process.env.DICOMP_CACHE_DIR = `${WORK}/cache`

const fixed = 3
const config = { url: 'a', list: [1] as unknown[] }
let changing = 1
const never = 'x'
const plainHelper = (x: number) => x + fixed
const memo = (x: number): unknown => memo.cache[x]
memo.cache = { 1: 'one' } as Record<number, string>
class Plain {
  value = fixed
}
class Counting {
  static count = 0
}
class Late {
  static touch(): void {
    ;(this as unknown as { at: number }).at = 1
  }
}
const increase = () => {
  changing++
}
var hoisted = 'set'

describe('how much may differ at the next call', () => {
  test('nothing: constants, functions, classes without state', () => {
    expect(capture((n: number) => n * 2).mutability).toBe('fixed')
    expect(capture(() => fixed + never.length).mutability).toBe('fixed')
    expect(capture(() => plainHelper(1)).mutability).toBe('fixed')
    expect(capture(() => new Plain()).mutability).toBe('fixed')
    expect(capture(() => Math.max(1, Number('2'))).mutability).toBe('fixed')
    expect(capture(() => hoisted).mutability).toBe('fixed')
    const local = 1
    expect(capture(() => local).mutability).toBe('fixed')
    expect(capture(Math.max.bind(null, 1)).mutability).toBe('fixed')
  })

  test('values: objects, properties of functions, static fields', () => {
    expect(capture(() => config.url).mutability).toBe('values')
    expect(capture(() => memo(1)).mutability).toBe('values')
    expect(capture(() => Counting.count).mutability).toBe('values')
    expect(capture(() => Late.touch()).mutability).toBe('values')
    expect(capture(Math.max.bind(null, config as never)).mutability).toBe('values')
  })

  test('variables: what is assigned anywhere', () => {
    expect(capture(() => changing).mutability).toBe('bindings')
    expect(increase).toBeTypeOf('function')
    const write = () => {
      later = 2
    }
    let later = 1
    expect(capture(() => later).mutability).toBe('bindings')
    expect(capture(write).mutability).toBe('bindings')
    // a variable that is read before its declaration ran
    expect(capture(() => tooEarly).mutability).toBe('bindings')
    var tooEarly = 1
    expect(capture(() => tooEarly).mutability).toBe('fixed')
  })
})

describe('the values as they are now', () => {
  const firstOf = (env: Encoded) => (decode(env) as [unknown[]])[0][0]

  test('encodeEnv sees changes without another capture', () => {
    const captured = capture(() => config.list)
    expect(firstOf(captured.env)).toEqual({ url: 'a', list: [1] })
    config.list.push(2)
    config.url = 'b'
    expect(firstOf(captured.encodeEnv())).toEqual({ url: 'b', list: [1, 2] })
    config.list.pop()
  })

  test('properties of functions and static fields are read again', async () => {
    const captured = capture((x: number) => [memo(x), Counting.count])
    memo.cache[2] = 'two'
    Counting.count = 5
    const { fn } = await instantiate({ entry: captured.entry, env: captured.encodeEnv() })
    expect(fn(2)).toEqual(['two', 5])
  })

  test('a function that is new among the values asks for another capture', () => {
    const captured = capture(() => config.list.length)
    config.list.push(() => 1)
    expect(() => captured.encodeEnv()).toThrow(EncodeError)
    const again = capture(() => config.list.length)
    expect(again.entry.text).toContain('() => 1')
    config.list.pop()
  })

  test('a variable that changed is another value at the next capture, and the same code', () => {
    const fn = () => changing
    const one = capture(fn)
    increase()
    const two = capture(fn)
    expect(two.entry.text).toBe(one.entry.text)
    expect([firstOf(one.env), firstOf(two.env)]).toEqual([changing - 1, changing])
  })
})

test('programs: changed values, new functions and changed variables all reach the next call', async () => {
  const list: unknown[] = [1]
  const fn = () => list.map((each) => (typeof each === 'function' ? each() : each))
  const programs = new Programs((each) => capture(each))
  const result = async () => {
    const { bundle, env } = await programs.prepare(fn)
    const module = (await import(/* @vite-ignore */ bundle.file)) as {
      default: (decode: unknown) => { fn: () => unknown }
    }
    return module.default((all: never[]) => decode(env, { entities: lookup(all) })).fn()
  }
  expect(await result()).toEqual([1])
  list.push(2)
  expect(await result()).toEqual([1, 2])
  list.push(() => list.length)
  expect(await result()).toEqual([1, 2, 3])
  list.push(new Promise(() => {}))
  await expect(result()).rejects.toThrow(/the value is a Promise[\s\S]*captures 'list'[\s\S]*\[3\]/)
})

test('imports: constants of the project are fixed, variables are not', async () => {
  const dir = project('mutability', 'module')
  const text = `
    import { factor, level, settings, helper } from './helper.ts'
    import { chunk } from 'lodash-es'
    export const cases = [
      ['factor', () => factor], ['level', () => level], ['settings', () => settings.url], ['helper', () => helper(1)],
      ['package', () => chunk([1])],
    ]`
  writeFileSync(`${dir}/imports.ts`, text)
  const shipped = await shipSuite(`${dir}/imports.ts`, ['--import', import.meta.resolve('tsx')])
  expect(Object.fromEntries(shipped.map(({ name, mutability }) => [name, mutability]))).toEqual({
    factor: 'fixed',
    level: 'bindings',
    settings: 'values',
    helper: 'fixed',
    package: 'fixed',
  })
})

test('the session is closed and nothing stays on: console and await are as fast as before', async () => {
  mkdirSync(WORK, { recursive: true })
  const text = `
    import inspector from 'node:inspector'
    const { capture } = await import(process.argv[2])
    const captured = 1
    let open = 0
    for (const name of ['connect', 'disconnect']) {
      const before = inspector.Session.prototype[name]
      inspector.Session.prototype[name] = function (...args) { open += name === 'connect' ? 1 : -1; return before.apply(this, args) }
    }
    const posts = []
    const { post } = inspector.Session.prototype
    inspector.Session.prototype.post = function (method, ...args) { posts.push(method); return post.call(this, method, ...args) }
    capture(() => captured)
    try { capture(() => missing) } catch {}
    const enabled = posts.filter((method) => method === 'Debugger.enable').length
    const disabled = posts.filter((method) => method === 'Debugger.disable').length
    console.log(JSON.stringify({ open, balanced: enabled === disabled, left: Reflect.ownKeys(inspector).includes(Symbol.for('dicomp.capture')) }))`
  writeFileSync(`${WORK}/sessions.mjs`, text)
  const { output } = await run([`${WORK}/sessions.mjs`, builtLibrary()])
  expect(JSON.parse(output)).toEqual({ open: 0, balanced: true, left: false })
})
