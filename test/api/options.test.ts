import { connect, distribute, OptionError, type TaskOptions } from 'dicomp'
import { describe, expect, it } from 'vitest'
import { rejection } from './helpers.ts'

const f = distribute((n: number) => n)

// [options, what the message says]
const bad: [unknown, string][] = [
  [{ retries: -1 }, '`retries` to be a whole number from 0 up, got -1 (number)'],
  [{ retries: 1.5 }, '`retries` to be a whole number from 0 up, got 1.5 (number)'],
  [{ retries: Number.NaN }, '`retries` to be a whole number from 0 up, got NaN (number)'],
  [{ retries: '3' }, "`retries` to be a whole number from 0 up, got '3' (string)"],
  [{ retries: null }, '`retries` to be a whole number from 0 up, got null'],
  [{ retries: { count: -1 } }, '`retries.count` to be a whole number from 0 up, got -1'],
  [{ retries: { times: 1 } }, 'no option `times` in the retries; there are count, when, delay'],
  [{ retries: { count: 1, when: true } }, '`retries.when` to be a function, got true (boolean)'],
  [{ retries: { delay: -5 } }, '`retries.delay` to be a duration above 0'],
  [{ retries: { delay: Number.NaN } }, '`retries.delay` to be a duration above 0'],
  [{ retries: { delay: '' } }, '`retries.delay` to be a duration above 0'],
  [{ retries: { factor: 0.5 } }, '`retries.factor` to be a number from 1 up, got 0.5 (number)'],
  [{ retries: { factor: '2' } }, "`retries.factor` to be a number from 1 up, got '2' (string)"],
  [{ retries: { maxDelay: 0 } }, '`retries.maxDelay` to be a duration above 0'],
  [{ retries: { crashes: 0 } }, '`retries.crashes` to be a whole number from 1 up, got 0'],
  [{ timeout: -1 }, '`timeout` to be a duration above 0 and up to 24 days (milliseconds, or text such as'],
  [{ timeout: 0 }, '`timeout` to be a duration above 0'],
  [{ timeout: Number.NaN }, '`timeout` to be a duration above 0'],
  [{ timeout: '5 parsecs' }, "got '5 parsecs' (string)"],
  [{ timeout: '-5s' }, "got '-5s' (string)"],
  [{ timeout: 2 ** 31 }, 'up to 24 days'],
  [{ timeout: null }, '`timeout` to be a duration above 0 and up to 24 days (milliseconds, or text such as'],
  [{ timeout: {} }, 'got an object (object)'],
  [{ timeout: new Date() }, 'got a value of class Date (object)'],
  [{ deadline: -1 }, '`deadline` to be a duration above 0'],
  [{ deadline: '1y' }, '`deadline` to be a duration above 0'],
  [{ priority: '1' }, "`priority` to be a number, got '1' (string)"],
  [{ priority: Number.NaN }, '`priority` to be a number, got NaN (number)'],
  [{ concurrency: 0 }, '`concurrency` to be a whole number from 1 up, got 0 (number)'],
  [{ concurrency: -Infinity }, '`concurrency` to be a whole number from 1 up, got -Infinity (number)'],
  [{ concurrency: '2' }, "`concurrency` to be a whole number from 1 up, got '2' (string)"],
  [{ signal: new AbortController() }, '`signal` to be an AbortSignal, got a value of class AbortController'],
  [{ signal: {} }, '`signal` to be an AbortSignal, got an object'],
  [{ isolation: 'vm' }, "`isolation` to be 'thread' or 'process', got 'vm' (string)"],
  [{ memory: 0 }, '`memory` to be a size (bytes, or text such as'],
  [{ memory: '2 cows' }, "got '2 cows' (string)"],
  [{ memory: Infinity }, '`memory` to be a size'],
  [{ env: 'A=1' }, "`env` to be an object of strings, got 'A=1' (string)"],
  [{ env: { A: 1 } }, '`env.A` to be a string, got 1 (number)'],
  [{ env: { A: undefined } }, '`env.A` to be a string, got undefined'],
  [{ log: true }, "`log` to be 'inherit', 'ignore' or a function, got true (boolean)"],
  [{ onProgress: 'yes' }, "`onProgress` to be a function, got 'yes' (string)"],
  [{ name: 5 }, '`name` to be a string, got 5 (number)'],
  [{ retry: 2 }, 'no option `retry` in the options; there are name, retries, timeout'],
  [5, 'Expected the options to be an object, got 5 (number)'],
  [null, 'Expected the options to be an object, got null'],
  ['fast', "Expected the options to be an object, got 'fast' (string)"],
  [[], 'Expected the options to be an object, got a value of class Array (object)'],
]

describe('options', () => {
  it.each(bad)('%j are refused: %s', async (options, message) => {
    const attempts = [
      () => distribute((n: number) => n, options as TaskOptions),
      () => f.with(options as TaskOptions),
      () => f.submit([1], options as TaskOptions),
    ]
    for (const attempt of attempts) {
      expect(attempt).toThrow(OptionError)
      expect(attempt).toThrow(message)
    }
    for (const promise of [f.map([1], options as TaskOptions), f.settled([1], options as TaskOptions)]) {
      const error = (await rejection(promise)) as OptionError
      expect(error).toBeInstanceOf(OptionError)
      expect(error.code).toBe('DICOMP_E_OPTION')
      expect(error.message).toContain(message)
    }
  })

  it('of streams are refused by name too', () => {
    expect(() => f.stream([1], { retry: 1 } as never)).toThrow('no option `retry`')
    for (const bufferSize of [0, -1, 1.5, Number.NaN, '3' as never]) {
      expect(() => f.stream([1], { bufferSize })).toThrow('`bufferSize` to be a whole number from 1 up')
    }
  })

  it('take durations and sizes as people write them', async () => {
    for (const timeout of [20_000, '20s', '20 s', '0.5m', '1h', '1d', '20000ms', '1min']) {
      expect(await f.with({ timeout })(1)).toBe(1)
    }
    for (const memory of ['512MB', '0.5GB', '512 MiB', 2 ** 29])
      expect(() => f.with({ memory })).not.toThrow()
  })
})

describe('connect', () => {
  it.each([
    [{ slots: 0 }, '`slots` to be a whole number from 1 up, got 0 (number)'],
    [{ slots: -2 }, '`slots` to be a whole number from 1 up, got -2 (number)'],
    [{ slots: 1.5 }, '`slots` to be a whole number from 1 up, got 1.5 (number)'],
    [{ slots: Number.NaN }, '`slots` to be a whole number from 1 up, got NaN (number)'],
    [{ slots: Infinity }, '`slots` to be a whole number from 1 up, got Infinity (number)'],
    [{ slots: '2' }, "`slots` to be a whole number from 1 up, got '2' (string)"],
    [{ isolation: 'vm' }, "`isolation` to be 'thread' or 'process'"],
    [{ memory: -1 }, '`memory` to be a size'],
    [{ env: { A: 1 } }, '`env.A` to be a string'],
    [
      { threads: 2 },
      'no option `threads` in the options of connect(); there are url, slots, isolation, memory, env',
    ],
    [5, 'Expected the options of connect() to be an object, got 5 (number)'],
    [{ url: 5 }, '`url` to be a link to a cluster, got 5 (number)'],
    [{ url: 'nats://localhost', slots: 2 }, '`slots` is a matter of this computer'],
  ])('refuses %j: %s', async (options, message) => {
    const error = (await rejection(connect(options as never))) as Error
    expect(error).toMatchObject({ name: 'OptionError', code: 'DICOMP_E_OPTION' })
    expect(error.message).toContain(message)
  })

  it('gives as many slots as there are cores when nothing is said', async () => {
    await using cluster = await connect()
    expect(cluster.slots).toBeGreaterThan(0)
  })
})

describe('what is no function', () => {
  it.each([
    ['nothing', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 5, '5 (number)'],
    ['text', 'n => n', "'n => n' (string)"],
    ['a promise', Promise.resolve(), 'a value of class Promise (object)'],
    ['an object without a prototype', Object.create(null), 'an object (object)'],
  ])('%s is refused by distribute()', (_, value, shown) => {
    expect(() => distribute(value as never)).toThrow(
      expect.objectContaining({
        code: 'DICOMP_E_NOT_A_FUNCTION',
        fix: expect.stringContaining('wrap the call'),
      }),
    )
    expect(() => distribute(value as never)).toThrow(shown)
  })
})

describe('a module', () => {
  it('runs its exported function, which is not loaded here', async () => {
    const double = distribute.module<(n: number) => number>(
      new URL('./exported.ts', import.meta.url),
      'double',
    )
    expect(await double(4)).toBe(8)
    expect(await double.map([1, 2])).toEqual([2, 4])
    expect(await double.local(5)).toBe(10)
    const byDefault = distribute.module<(n: number) => number>(new URL('./exported.ts', import.meta.url))
    expect(await byDefault(4)).toBe(5)
  })

  it('without that function is an error of every call', async () => {
    const none = distribute.module(new URL('./exported.ts', import.meta.url), 'nothing')
    expect(await rejection(none())).toMatchObject({
      code: expect.stringMatching(/^DICOMP_E_(MODULE|LOAD|BUNDLE)$/),
    })
    const missing = distribute.module(new URL('./no-such-file.ts', import.meta.url))
    expect(await rejection(missing())).toMatchObject({
      code: expect.stringMatching(/^DICOMP_E_(MODULE|BUNDLE)$/),
    })
    expect(await rejection(missing.map([1]))).toMatchObject({ code: expect.stringMatching(/^DICOMP_E_/) })
  })
})
