import { connect } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rejection } from './helpers.ts'

const levels = ['thread', 'process'] as const
let clusters: Record<(typeof levels)[number], Awaited<ReturnType<typeof connect>>>
beforeAll(async () => {
  clusters = {
    thread: await connect({ slots: 1 }),
    process: await connect({ slots: 1, isolation: 'process' }),
  }
})
afterAll(() => Promise.all([clusters.thread.close(), clusters.process.close()]))

class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly code = 'E_HTTP'
  readonly status: number
  readonly details: { tries: Map<string, number> }
  constructor(status: number) {
    super(`status ${status}`)
    this.status = status
    this.details = { tries: new Map([['a', 1]]) }
  }
  get retryable(): boolean {
    return this.status >= 500
  }
}

function fail(how: string): never {
  if (how === 'class') throw new HttpError(503)
  if (how === 'cause')
    throw new Error('outer', { cause: new RangeError('middle', { cause: new HttpError(1) }) })
  if (how === 'aggregate') throw new AggregateError([new TypeError('a'), new HttpError(2)], 'both')
  if (how === 'system') throw Object.assign(new Error('gone'), { code: 'ENOENT', errno: -2, path: '/x' })
  if (how === 'dom') throw new DOMException('stop', 'AbortError')
  throw new SyntaxError(how)
}

describe.each(levels)('an error of a task in a %s', (level) => {
  const failing = () => clusters[level].distribute(fail)

  it('is of its class, with its properties and methods', async () => {
    const errors = [
      await rejection(failing()('class')),
      await rejection(failing().map(['class'])),
      ((await failing().settled(['class']))[0] as PromiseRejectedResult).reason,
    ]
    for (const error of errors as HttpError[]) {
      expect(error).toBeInstanceOf(HttpError)
      expect(error).toBeInstanceOf(Error)
      expect(error).toMatchObject({ name: 'HttpError', code: 'E_HTTP', status: 503, message: 'status 503' })
      expect(error.retryable).toBe(true)
      expect(error.details.tries.get('a')).toBe(1)
    }
  })

  it('keeps its chain of causes', async () => {
    const error = (await rejection(failing()('cause'))) as Error & { cause: Error & { cause: Error } }
    expect(error.message).toBe('outer')
    expect(error.cause).toBeInstanceOf(RangeError)
    expect(error.cause.cause).toBeInstanceOf(HttpError)
  })

  it('keeps the errors of an AggregateError', async () => {
    const error = (await rejection(failing()('aggregate'))) as AggregateError
    expect(error).toBeInstanceOf(AggregateError)
    expect(error.message).toBe('both')
    expect(error.errors[0]).toBeInstanceOf(TypeError)
    expect(error.errors[1]).toBeInstanceOf(HttpError)
  })

  it('keeps the properties of system errors', async () => {
    expect(await rejection(failing()('system'))).toMatchObject({ code: 'ENOENT', errno: -2, path: '/x' })
  })

  it('that JavaScript itself throws is of its class', async () => {
    expect(await rejection(failing()('anything'))).toBeInstanceOf(SyntaxError)
    const nothing = clusters[level].distribute((value: { x: { y: number } }) => value.x.y)
    expect(await rejection(nothing({} as never))).toBeInstanceOf(TypeError)
    expect(await rejection(failing()('dom'))).toMatchObject({ name: 'AbortError', message: 'stop' })
  })

  it.each([
    ['text', 'just text'],
    ['a number', 42],
    ['null', null],
    ['undefined', undefined],
    ['an object', { code: 7, list: [1] }],
    ['big', 10n],
  ])('may be %s', async (_, value) => {
    const f = clusters[level].distribute((value: unknown) => {
      throw value
    })
    expect(await rejection(f(value))).toEqual(value)
    expect(await rejection(f.map([value]))).toEqual(value)
    const [outcome] = await f.settled([value])
    expect(outcome).toEqual({ status: 'rejected', reason: value })
  })

  it('has a stack with the line of the task and the line of the call', async () => {
    const error = (await rejection(failing()('class'))) as Error
    const lines = (error.stack ?? '').split('\n')
    expect(lines[0]).toBe('HttpError: status 503')
    expect(lines[1]).toMatch(/at fail \(.*errors\.test\.ts:\d+:\d+\)/)
    expect(error.stack).toMatch(/--- sent to .* by ---[\s\S]*errors\.test\.ts/)
    expect(error.stack).not.toMatch(/dist\/(chunks|index|runner)/)
  })

  it('does not harm its neighbours', async () => {
    const f = clusters[level].distribute((n: number) => {
      if (n % 10 === 0) throw new Error(String(n))
      return n
    })
    const outcomes = await f.settled(Array.from({ length: 200 }, (_, i) => i))
    outcomes.forEach((outcome, i) => {
      expect(outcome.status).toBe(i % 10 === 0 ? 'rejected' : 'fulfilled')
      if (outcome.status === 'rejected') expect(outcome.reason.message).toBe(String(i))
    })
  })
})
