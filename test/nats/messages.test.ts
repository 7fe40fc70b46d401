import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode, toFrame } from '../../src/codec/index.ts'
import { DecodeError } from '../../src/errors.ts'
import {
  type AnyMessage,
  type MessageType,
  payloadFrame,
  type RemoteSpec,
  readMessage,
  readPayload,
  readSpec,
  specFrame,
  writeMessage,
} from '../../src/nats/messages.ts'
import { SHAPES } from '../../src/nats/shapes.ts'
import type { Payload } from '../../src/slot/protocol.ts'

const blob = { hash: 'ab'.repeat(32), size: 3_000_000 }
const bytes = (...values: number[]) => Uint8Array.from(values)
const tasks = { job: 3, chunk: 8, start: 100, count: 50 }

const MESSAGES: AnyMessage[] = [
  {
    type: 'task',
    client: 'anna.x1',
    ...tasks,
    attempt: 1,
    skip: [0, 49],
    spec: bytes(1, 2),
    payload: { blob },
    got: [[3, 7, 0]],
  },
  { type: 'held', node: 'n.1', chunks: [[3, 8]] },
  { type: 'full', node: 'n.1', chunks: [[3, 8]] },
  {
    type: 'result',
    node: 'n.1',
    ...tasks,
    seq: 0,
    attempt: 2,
    failed: [3, 4],
    last: true,
    ms: 12.5,
    payload: { inline: bytes(0, 255) },
    slot: 'node-a, process 4711',
  },
  { type: 'lost', node: 'n.1', ...tasks, seq: 1, last: false, attempt: undefined, error: bytes(9) },
  { type: 'log', node: 'n.1', job: 3, chunk: 8, index: 120, stream: 'stderr', text: '\u001b[31mred\n' },
  { type: 'progress', node: 'n.1', job: 3, chunk: 8, index: 120, value: bytes(1) },
  { type: 'confirm', client: 'anna.x1', got: [[3, 8, 0]] },
  { type: 'drop', client: 'anna.x1', chunks: [[3, 8]] },
  { type: 'dropTasks', client: 'anna.x1', job: 3, chunk: 8, start: 4, end: 9 },
  { type: 'forget', client: 'anna.x1', job: 3 },
  { type: 'drain' },
  { type: 'alive', client: 'anna.x1', needs: [{ tags: ['gpu'] }, { memory: 2 ** 31 }, {}] },
  { type: 'bye', client: 'anna.x1' },
  {
    type: 'heartbeat',
    node: 'n.1',
    name: 'büro-2',
    startedAt: 1.7e12,
    state: 'working',
    slots: 8,
    free: 3,
    tags: ['gpu', 'big'],
    memory: 2 ** 31,
    host: { os: 'linux', arch: 'x64', cpus: 8, runtime: 'node 24.1.0', dicomp: '0.1.0', load: 0.7 },
    protocol: 1,
    held: [['anna.x1', 3, 8]],
  },
]
/** What may be left out. */
const OPTIONAL = new Set(['task.spec', 'task.got'])
const KINDS = Object.keys(SHAPES) as MessageType[]
const SPEC: RemoteSpec = {
  id: 'solve-3',
  name: 'solve',
  program: {
    id: 1,
    name: 'solve',
    code: blob,
    natives: [{ name: '@scope/pkg', version: '1.2.3-beta.1', optional: false }],
    env: { inline: bytes(1) },
  },
  spread: false,
  priority: -1,
  cap: Number.POSITIVE_INFINITY,
  solo: true,
  timeout: undefined,
  concurrency: Number.POSITIVE_INFINITY,
  crashes: 3,
  pool: { isolation: 'process', memory: undefined, env: { LANG: 'C' } },
}

describe('messages', () => {
  test('there is an example of each here', () => {
    expect(MESSAGES.map((message) => message.type)).toEqual(KINDS)
  })

  test.each(MESSAGES.map((message) => [message.type, message] as const))('%s', (type, message) => {
    const written = writeMessage(message)
    expect(readMessage(written, [type])).toEqual(message)
    // On a subject where it does not belong.
    expect(
      readMessage(
        written,
        KINDS.filter((kind) => kind !== type),
      ),
    ).toBeUndefined()
  })

  test.each(MESSAGES.map((message) => [message.type, message] as const))(
    '%s without one field',
    (type, message) => {
      for (const key of Object.keys(message)) {
        const { [key as 'type']: gone, ...rest } = message as AnyMessage & Record<string, unknown>
        if (gone === undefined) continue
        const read = readMessage(toFrame(encode(rest)), KINDS)
        if (OPTIONAL.has(`${type}.${key}`)) expect(read, key).toEqual(rest)
        else expect(read, key).toBeUndefined()
      }
    },
  )

  test('lies about numbers, names and places', () => {
    const change = (type: MessageType, changes: object) => {
      const message = MESSAGES.find((each) => each.type === type)
      return readMessage(toFrame(encode({ ...message, ...changes })), KINDS)
    }
    expect(change('task', {})).toBeDefined()
    for (const changes of [
      { count: 0 },
      { count: 2 ** 40 },
      { start: -1 },
      { start: 0.5 },
      { start: 2 ** 60 },
      { chunk: Number.NaN },
      { skip: [50] },
      { skip: [4, 4] },
      { skip: [4, 3] },
      { skip: 'none' },
      { spec: 'none' },
      { got: [[3, 7]] },
      { skip: Object.assign([], { length: 3 }) },
      { client: 'dicomp.c.>' },
      { client: '*.x' },
      { payload: {} },
      { payload: { inline: [1, 2] } },
      { payload: { blob: { hash: '../../etc/passwd', size: 1 } } },
      { payload: { blob: { ...blob, size: -1 } } },
      { type: 'constructor' },
      { type: '__proto__' },
      { type: ['task'] },
    ])
      expect(change('task', changes), JSON.stringify(changes)).toBeUndefined()
    // Goes to somebody's terminal.
    expect(change('heartbeat', { name: 'a\u001b]0;b\u0007' })).toBeUndefined()
    expect(change('heartbeat', { tags: Array(65).fill('a') })).toBeUndefined()
    expect(change('heartbeat', { held: [['x', 1, 2]] })).toBeUndefined()
    expect(change('result', { ms: -1 })).toBeUndefined()
    expect(change('result', { slot: 'a\nb' })).toBeUndefined()
  })

  test('bytes that are no message: cut off, changed, made up', () => {
    for (const message of MESSAGES) {
      const frame = writeMessage(message)
      for (let end = 0; end < frame.length; end++)
        expect(readMessage(frame.subarray(0, end), KINDS)).toBeUndefined()
    }
    const frames = MESSAGES.map(writeMessage)
    const damaged = fc
      .tuple(
        fc.constantFrom(...frames),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 }),
      )
      .map(([frame, changes]) => {
        const copy = frame.slice()
        for (const [at, value] of changes) copy[at % copy.length] = value
        return copy
      })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 2000 }), damaged), (frame) => {
        const message = readMessage(frame, KINDS)
        // What is left after damage still has the shape that was checked.
        if (message !== undefined) expect(SHAPES[message.type](message)).toBe(true)
      }),
      { numRuns: 20_000 },
    )
  })

  test('any value that can be encoded is a message or none', () => {
    const shaped = fc.constantFrom(...MESSAGES).chain((message) =>
      fc
        .dictionary(fc.constantFrom(...Object.keys(message)), fc.anything({ withNullPrototype: true }), {
          maxKeys: 3,
        })
        .map((changes) => ({ ...message, ...changes })),
    )
    fc.assert(
      fc.property(fc.oneof(shaped, fc.anything()), (value) => {
        const frame = toFrame(encode(value))
        const message = readMessage(frame, KINDS)
        expect(message === undefined || KINDS.includes(message.type)).toBe(true)
      }),
      { numRuns: 3000 },
    )
  })
})

describe('specs', () => {
  test('there and back', () => {
    expect(readSpec(specFrame(SPEC))).toEqual(SPEC)
  })

  test('what would reach a shell, or is no spec, is refused', () => {
    const { program } = SPEC
    const natives = (name: string, version = '1.0.0') => ({
      ...SPEC,
      program: { ...program, natives: [{ name, version, optional: false }] },
    })
    for (const spec of [
      null,
      [],
      natives('a; rm -rf /'),
      natives('--registry=http://evil'),
      natives('../outside'),
      natives('left-pad', '1.0.0 || http://evil/x.tgz'),
      natives('left-pad', 'file:../x'),
      { ...SPEC, pool: { ...SPEC.pool, env: { A: 1 } } },
      { ...SPEC, pool: { ...SPEC.pool, isolation: 'none' } },
      { ...SPEC, crashes: '3' },
      { ...SPEC, program: { ...program, code: { inline: bytes(1) } } },
    ])
      expect(() => readSpec(toFrame(encode(spec))), JSON.stringify(spec)).toThrow(DecodeError)
    expect(() => readSpec(bytes(1, 2, 3))).toThrow(DecodeError)
  })
})

describe('payloads', () => {
  const there = (payload: Payload) => readPayload(payloadFrame(payload))

  test('numbers', () => {
    expect(there({ kind: 'f64', values: Float64Array.of(1.5, Number.NaN, -0) })).toEqual({
      kind: 'f64',
      values: Float64Array.of(1.5, Number.NaN, -0),
    })
    const part = Float64Array.of(1, 2, 3, 4).subarray(1, 3)
    expect([...(there({ kind: 'f64', values: part }) as { values: Float64Array }).values]).toEqual([2, 3])
    expect(there({ kind: 'f64', values: [1, 2] })).toEqual({ kind: 'f64', values: [1, 2] })
  })

  test('lists with attachments, several of them, which stay usable', () => {
    const image = Uint8Array.of(1, 2, 3)
    const lists = [encode([{ image, at: new Date(0) }, 'two']), encode([new Float32Array(5000).fill(7)])]
    const payload = there({ kind: 'any', lists })
    if (payload.kind !== 'any') throw new Error('expected lists')
    expect(payload.lists.map((list) => decode(list))).toEqual(lists.map((list) => decode(list)))
    expect(image).toEqual(Uint8Array.of(1, 2, 3))
  })

  test('shared memory cannot travel, and says so', () => {
    const lists = [encode([new Uint8Array(new SharedArrayBuffer(8))], { shared: true })]
    expect(() => payloadFrame({ kind: 'any', lists })).toThrow(/SharedArrayBuffer/)
  })

  test('anything else is a DecodeError', () => {
    for (const value of [
      0,
      [],
      [0],
      [2, []],
      [0, ['a']],
      [0, new Float32Array(2)],
      [1, [[1, []]]],
      [1, [[bytes(1), [1]]]],
    ])
      expect(() => readPayload(toFrame(encode(value)))).toThrow(DecodeError)
    fc.assert(
      fc.property(fc.uint8Array(), (frame) => {
        expect(() => readPayload(frame)).toThrow(DecodeError)
      }),
    )
  })
})
