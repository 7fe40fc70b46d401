import { describe, expect, test, vi } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { type CaptureFunction, Programs } from '../../src/capture/program.ts'
import type { Captured, Entry } from '../../src/capture/types.ts'
import type { Encoded, Entities } from '../../src/codec/index.ts'
import { entryOf, load, ownCache, project, root } from './setup.ts'

ownCache()

type Value = { text: string; buffers: (ArrayBuffer | SharedArrayBuffer)[] }
const encoded = ({ text, buffers }: Value): Encoded => ({ bytes: Buffer.from(text), attachments: buffers })
const none: Entities = { indexOf: () => undefined, at: () => undefined }

/** What capture would say of a function, with values that the test changes. */
function captures(mutability: Captured['mutability'], entry: Entry, value: Value, entities = none) {
  const encodeEnv = vi.fn(() => encoded(value))
  const capture = vi.fn<CaptureFunction<string>>(() => ({
    name: 'fn',
    entry,
    env: encoded(value),
    entities,
    mutability,
    encodeEnv,
    warnings: [{ reason: 'WRITES_CAPTURED', message: 'text', at: 'a.ts:1:1' }],
  }))
  return { capture, encodeEnv, programs: new Programs(capture) }
}

const plain = () => entryOf('', `(n) => n /* ${Math.random()} */`, root)
const withImport = () =>
  entryOf(`import chunk from 'lodash-es/chunk.js'`, `(n) => chunk([n], 1) /* ${Math.random()} */`, root)
const fn = () => () => {}

describe('a function whose captured values cannot change', () => {
  test('is captured once; the same program at once', () => {
    const { capture, programs } = captures('fixed', plain(), { text: 'a', buffers: [] })
    const one = fn()
    const program = programs.prepare(one, 'site')
    expect(program).not.toBeInstanceOf(Promise)
    expect(program).toMatchObject({
      name: 'fn',
      warnings: [{ at: 'a.ts:1:1' }],
      env: { bytes: new Uint8Array([97]) },
    })
    expect(programs.prepare(one)).toBe(program)
    expect(capture.mock.calls).toEqual([[one, { site: 'site' }]])
  })

  test('calls while the code is bundled share one promise, later ones get the program itself', async () => {
    const { capture, programs } = captures('fixed', withImport(), { text: 'a', buffers: [] })
    const one = fn()
    const [a, b] = [programs.prepare(one), programs.prepare(one)]
    expect(a).toBeInstanceOf(Promise)
    expect(b).toBe(a)
    expect(programs.prepare(one)).toBe(a)
    expect(programs.prepare(one)).toBeInstanceOf(Promise)
    const program = await a
    expect(programs.prepare(one)).toBe(program)
    expect(capture).toHaveBeenCalledTimes(1)
    expect((await load(program.bundle))(1)).toEqual([[1]])
  })

  test('every function has an id of its own, also in other Programs', () => {
    const { programs, capture } = captures('fixed', plain(), { text: 'a', buffers: [] })
    const ids = [programs.prepare(fn()), programs.prepare(fn()), new Programs(capture).prepare(fn())].map(
      (program) => (program as { id: number }).id,
    )
    expect(new Set(ids).size).toBe(3)
  })
})

describe('a function that captures values which can change', () => {
  test('equal values: the same program; other values: another id, the same bundle', () => {
    const value: Value = { text: 'a', buffers: [new Uint8Array([1, 2, 3]).buffer] }
    const { capture, encodeEnv, programs } = captures('values', plain(), value)
    const one = fn()
    const first = programs.prepare(one)
    if (first instanceof Promise) throw new Error('not synchronous')
    expect(programs.prepare(one)).toBe(first)
    value.text = 'b'
    const second = programs.prepare(one) as typeof first
    expect(second.id).not.toBe(first.id)
    expect(second.bundle).toBe(first.bundle)
    expect(second.env.bytes).toEqual(new Uint8Array(Buffer.from('b')))
    expect(programs.prepare(one)).toBe(second)
    expect([capture.mock.calls.length, encodeEnv.mock.calls.length]).toEqual([1, 3])
  })

  test('the same buffer written to: the old program keeps the old content', () => {
    const numbers = new Float64Array([1, 2, 3])
    const bytes = Buffer.from('ab')
    const { capture, encodeEnv, programs } = captures('values', plain(), { text: '', buffers: [] })
    const env = { bytes, attachments: [numbers.buffer] } // both are the encoder's and the user's, not ours
    encodeEnv.mockReturnValue(env)
    capture.mockReturnValue({ ...capture(fn(), { site: undefined }), env })
    const one = fn()
    const first = programs.prepare(one)
    if (first instanceof Promise) throw new Error('not synchronous')
    numbers[0] = 9
    bytes[1] = 99
    const second = programs.prepare(one) as typeof first
    expect(second.id).not.toBe(first.id)
    const content = (program: typeof first) => [
      ...new Float64Array(program.env.attachments[0] as ArrayBuffer),
    ]
    expect([content(first), content(second)]).toEqual([
      [1, 2, 3],
      [9, 2, 3],
    ])
    expect([first, second].map(({ env }) => String.fromCharCode(...env.bytes))).toEqual(['ab', 'ac'])
  })

  test('shared memory is the same memory, whatever is written to it', () => {
    const shared = new SharedArrayBuffer(8)
    const { programs } = captures('values', plain(), { text: 'a', buffers: [shared] })
    const one = fn()
    const first = programs.prepare(one)
    if (first instanceof Promise) throw new Error('not synchronous')
    new Uint8Array(shared)[0] = 1
    expect(programs.prepare(one)).toBe(first)
    expect(first.env.attachments[0]).toBe(shared)
  })

  test('the snapshot is of the call, also while the code is bundled', async () => {
    const value: Value = { text: 'a', buffers: [] }
    const { programs } = captures('values', withImport(), value)
    const one = fn()
    const pending = [programs.prepare(one)]
    value.text = 'b'
    pending.push(programs.prepare(one), programs.prepare(one))
    value.text = 'c'
    const [a, b, again] = await Promise.all(pending)
    expect([a, b, again].map((program) => Buffer.from(program?.env.bytes ?? []).toString())).toEqual([
      'a',
      'b',
      'b',
    ])
    expect(b?.id).not.toBe(a?.id)
    expect(again?.id).toBe(b?.id)
  })
})

describe('a function that captures variables which can be assigned', () => {
  test('is captured again; equal code and values keep the id, with the functions of now', () => {
    const [before, after] = [() => 1, () => 2]
    let live = before
    const entities: Entities = {
      indexOf: (f) => (f === live ? 0 : undefined),
      at: (i) => (i === 0 ? live : undefined),
    }
    const value: Value = { text: 'a', buffers: [] }
    const entry = plain()
    const { capture, programs } = captures('bindings', entry, value, entities)
    const one = fn()
    const first = programs.prepare(one)
    if (first instanceof Promise) throw new Error('not synchronous')
    live = after
    const second = programs.prepare(one) as typeof first
    expect(second.id).toBe(first.id)
    expect(second.entities.indexOf(after)).toBe(0)
    value.text = 'b'
    const third = programs.prepare(one) as typeof first
    expect(third.id).not.toBe(first.id)
    expect(third.bundle).toBe(first.bundle)
    expect(capture).toHaveBeenCalledTimes(3)
  })

  test('other code is another bundle', () => {
    const entries = [plain(), plain()]
    const { capture } = captures('bindings', plain(), { text: 'a', buffers: [] })
    const { programs } = (() => {
      let calls = 0
      return {
        programs: new Programs((f, site) => ({
          ...capture(f, site as never),
          entry: entries[calls++ % 2] as Entry,
        })),
      }
    })()
    const one = fn()
    const [a, b] = [programs.prepare(one), programs.prepare(one)] as {
      id: number
      bundle: { hash: string }
    }[]
    expect(a?.id).not.toBe(b?.id)
    expect(a?.bundle.hash).not.toBe(b?.bundle.hash)
  })
})

test('errors are not kept: the next call tries again', async () => {
  const entry = entryOf(`import './not-yet.ts'`, '() => 1', project({}))
  const { capture, programs } = captures('fixed', entry, { text: '', buffers: [] })
  const one = fn()
  await expect(programs.prepare(one)).rejects.toThrow('not-yet.ts')
  await expect(programs.prepare(one)).rejects.toThrow('not-yet.ts')
  capture.mockImplementation(() => {
    throw new TypeError('cannot capture')
  })
  expect(() => programs.prepare(one)).toThrow('cannot capture')
})

test('a function of a module: one program for all its calls, nothing captured', async () => {
  const dir = project({ 'task.ts': 'export default (n: number) => n + 1\nexport const other = 1' })
  const { capture, programs } = captures('fixed', plain(), { text: '', buffers: [] })
  const url = new URL(`file://${dir}/task.ts`)
  const [a, b] = await Promise.all([programs.prepareModule(url), programs.prepareModule(url)])
  expect(b).toBe(a)
  expect(programs.prepareModule(url)).toBe(a)
  expect(a).toMatchObject({ name: 'task', env: { attachments: [] } })
  expect((await load(a.bundle))(1)).toBe(2)
  expect(capture).not.toHaveBeenCalled()
  await expect(programs.prepareModule(url, 'gone')).rejects.toThrow("no export 'gone'")
  await expect(programs.prepareModule(url, 'gone')).rejects.toThrow("no export 'gone'")
  expect(() => programs.prepareModule(`${dir}/gone.ts`)).toThrow('There is no module')
})

test('the bundler is given the entry as it is', () => {
  const bundler = vi.fn(bundle)
  const entry = plain()
  const { capture } = captures('fixed', entry, { text: '', buffers: [] })
  new Programs(capture, bundler).prepare(fn())
  expect(bundler.mock.calls).toEqual([[entry]])
})
