/** What becomes of chunks on a node, as the client sees it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cacheDir } from '../../src/capture/cache.ts'
import { encode, toFrame } from '../../src/codec/index.ts'
import { LoadError, SlotCrashedError, TaskTimeoutError } from '../../src/errors.ts'
import { needKey } from '../../src/nats/need.ts'
import { INLINE_BYTES } from '../../src/nats/settings.ts'
import { eventually } from '../slots/leftovers.ts'
import { refOf } from './client.ts'
import { setUp, WAITS } from './setup.ts'

const setup = setUp()

/** Processes that have begun the task which waits for this file. */
const begun = (file: string): number[] =>
  existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').trim().split('\n').map(Number) : []

describe('a chunk', () => {
  it('is run, reported, and leaves the queue when its results are confirmed', async () => {
    const { client } = setup
    const agent = await setup.join()
    client.confirms = false
    await client.task({ chunk: 7, start: 10, inputs: [1, 2, 3] })
    const { values } = await client.results(7)
    expect(Object.fromEntries(values)).toEqual({ 10: 2, 11: 4, 12: 6 })
    // Unconfirmed, it is still held, and still in the queue.
    expect((await client.heartbeat(() => true)).held).toEqual([[client.id, 1, 7]])
    expect(await client.queued()).toBe(1)
    client.toNode(agent.node, { type: 'confirm', client: client.id, got: [[1, 7, 0]] })
    await client.untilQueued(0)
    expect((await client.heartbeat(() => true)).held).toEqual([])
  })

  it('that takes its time is said to be held', async () => {
    const { client } = setup
    const agent = await setup.join()
    const file = setup.newFile()
    await client.task({ chunk: 7, inputs: [file], body: WAITS })
    await client.when(() => client.messages.length > 0)
    expect(client.messages[0]).toEqual({ type: 'held', node: agent.node, chunks: [[1, 7]] })
    setup.allow(file)
    await client.results(7)
  })

  it('that waits in the queue already is taken by a node that joins', async () => {
    const { client } = setup
    const first = await setup.join()
    await first.stop()
    await client.task({ chunk: 1, inputs: [4] })
    await setup.join()
    expect((await client.results(1)).values.get(0)).toBe(8)
  })

  it('sends its results again until they are confirmed', async () => {
    const { client } = setup
    const agent = await setup.join()
    client.confirms = false
    await client.task({ chunk: 1, inputs: [1] })
    await client.when(() => client.outcomes(1).length >= 3)
    expect(new Set(client.outcomes(1).map(({ seq }) => seq))).toEqual(new Set([0]))
    client.toNode(agent.node, { type: 'confirm', client: client.id, got: [[1, 1, 0]] })
    await client.untilQueued(0)
  })

  it('reports what its tasks threw, and what could not be sent back, as their own outcome', async () => {
    const { client } = setup
    await setup.join()
    const body = "if (arg === 1) throw new RangeError('too odd'); return arg === 2 ? () => 0 : [arg]"
    await client.task({ chunk: 1, inputs: [0, 1, 2, 3], body })
    const { values, failed, lost } = await client.results(1)
    expect(Object.fromEntries(values)).toEqual({ 0: [0], 3: [3] })
    expect(failed.get(1)).toMatchObject({ name: 'RangeError', message: 'too odd' })
    expect(failed.get(2)).toMatchObject({ code: 'DICOMP_E_ENCODE' })
    expect(lost.size).toBe(0)
  })

  it('does not run what is to be skipped, and runs as the attempt that it is', async () => {
    const { client } = setup
    await setup.join()
    await client.task({
      chunk: 1,
      inputs: ['a', 'b'],
      skip: [0],
      attempt: 4,
      body: 'return [arg, task.attempt]',
    })
    const { values } = await client.results(1)
    expect(values.get(1)).toEqual(['b', 4])
    expect(client.outcomes(1)[0]).toMatchObject({ attempt: 4 })
  })

  it('may have anything large in the object store: code, captured values, arguments, results', async () => {
    const { client } = setup
    await setup.join()
    const text = 'x'.repeat(2 * INLINE_BYTES)
    const env = { blob: await client.blobs.put(toFrame(encode(['captured']))) }
    await client.task({ chunk: 1, inputs: [text, 'y'], stored: true, env, body: 'return v[0] + arg + arg' })
    const { values } = await client.results(1)
    expect(values.get(0)).toBe(`captured${text}${text}`)
    expect(values.get(1)).toBe('capturedyy')
    expect(client.outcomes(1).some((each) => each.type === 'result' && 'blob' in each.payload)).toBe(true)
    await client.untilQueued(0)
  })

  it('sends output and progress as they come', async () => {
    const { client } = setup
    const { node } = await setup.join()
    const body = "console.log('said', arg); await task.progress({ at: arg }); return 0"
    await client.task({ chunk: 3, start: 5, inputs: [9], body })
    await client.over(3)
    await client.when(() => client.of('log').length > 0 && client.of('progress').length > 0)
    const at = { node, job: 1, chunk: 3, index: 5 }
    expect(client.of('log')[0]).toEqual({ type: 'log', ...at, stream: 'stdout', text: 'said 9\n' })
    expect(client.of('progress')[0]).toMatchObject(at)
  })

  it('whose code is not there fails once, with the reason, and its node goes on', async () => {
    const { client } = setup
    const agent = await setup.join()
    await client.task({ chunk: 1, inputs: [1, 2], code: refOf(Buffer.from('nobody has put this')) })
    const { lost } = await client.results(1)
    expect(lost.size).toBe(2)
    expect(lost.get(0)).toBeInstanceOf(LoadError)
    expect(lost.get(0)?.message).toContain(`Node ${agent.name} cannot load the code of 'body'`)
    expect(lost.get(0)?.message).toContain('does not have')
    await client.task({ job: 2, chunk: 2, inputs: [1] })
    expect((await client.over(2, 2))[0]).toMatchObject({ type: 'result' })
  })

  it('with code that throws while it is loaded fails with that error', async () => {
    const { client } = setup
    await setup.join()
    const code = await client.blobs.put(Buffer.from("throw new Error('broken module')"))
    await client.task({ chunk: 1, inputs: [1], code })
    const { failed } = await client.results(1)
    expect(failed.get(0)).toMatchObject({ code: 'DICOMP_E_LOAD' })
    expect(String(failed.get(0))).toContain('broken module')
  })

  it('with a native package that may not be installed says what its owner can do', async () => {
    const { client } = setup
    await setup.join()
    const natives = [{ name: 'some-addon', version: '1.2.3', optional: false }]
    await client.task({ chunk: 1, inputs: [1], natives })
    const { lost } = await client.results(1)
    expect(lost.get(0)?.message).toContain('some-addon@1.2.3')
    expect(lost.get(0)?.message).toContain('--allow-native')
    // Code that can do without it is not harmed.
    const optional = [{ name: 'some-addon', version: '1.2.3', optional: true }]
    await client.task({ job: 2, chunk: 2, inputs: [1], natives: optional, body: 'return arg + 1' })
    expect((await client.over(2, 2))[0]).toMatchObject({ type: 'result', failed: [] })
  })
})

it('a native package is installed once, in the version that the client has, where that is allowed', async () => {
  const { client } = setup
  await setup.join({ allowNative: true })
  const natives = [{ name: '@node-rs/crc32', version: '1.10.6', optional: false }]
  const runtime = "globalThis[Symbol.for('dicomp.runtime')]"
  const body = `const { crc32 } = ${runtime}.native('@node-rs/crc32'); return crc32(arg)`
  for (const chunk of [1, 2]) await client.task({ job: chunk, chunk, inputs: ['abc'], body, natives })
  const [first] = await client.over(1, 1)
  expect(first).toMatchObject({ type: 'result', failed: [] })
  expect(await client.over(2, 2)).toHaveLength(1)
  const found = await client.values(1, 1)
  expect(found).toEqual([0x352441c2])
  const platform = readdirSync(join(cacheDir(), 'natives'))
  expect(platform).toHaveLength(1)
  expect(readdirSync(join(cacheDir(), 'natives', platform[0] as string))).toEqual(['@node-rs+crc32@1.10.6'])
}, 120_000)

describe('slots', () => {
  it('that are killed cost their task an attempt, and nothing else', async () => {
    const { client } = setup
    await setup.join()
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toHaveLength(1))
    process.kill(begun(file)[0] as number, 'SIGKILL')
    await eventually(() => expect(begun(file)).toHaveLength(2))
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    expect(client.outcomes(1)[0]).toMatchObject({ attempt: 2 })
  })

  it('that a task kills again and again are told to the client, with the task alone', async () => {
    const { client } = setup
    await setup.join()
    const body = 'if (arg === 3) process.kill(process.pid, "SIGKILL"); return arg'
    await client.task({ chunk: 1, inputs: [0, 1, 2, 3, 4, 5], body })
    const { values, lost } = await client.results(1)
    expect([...values.keys()].sort()).toEqual([0, 1, 2, 4, 5])
    expect([...lost.keys()]).toEqual([3])
    expect(lost.get(3)).toBeInstanceOf(SlotCrashedError)
  })

  it('are killed when a task takes too long; the attempt can be repeated', async () => {
    const { client } = setup
    await setup.join()
    const spec = { timeout: 100, solo: true }
    await client.task({ chunk: 1, inputs: [1], body: 'for (;;);', spec, attempt: 2 })
    const { lost } = await client.results(1)
    expect(lost.get(0)).toBeInstanceOf(TaskTimeoutError)
    expect(client.outcomes(1)[0]).toMatchObject({ type: 'lost', attempt: 2 })
  })

  it('have the variables of their own computer and those that the job names, not those of the agent', async () => {
    const { client } = setup
    process.env.DICOMP_URL = 'dicomp://secret'
    await setup.join()
    const spec = { pool: { isolation: 'thread' as const, memory: undefined, env: { GIVEN: 'yes' } } }
    await client.task({ chunk: 1, inputs: [0], body: 'return { ...process.env }', spec })
    const { values } = await client.results(1)
    delete process.env.DICOMP_URL
    expect(values.get(0)).toMatchObject({ GIVEN: 'yes', PATH: process.env.PATH })
    expect(values.get(0)).not.toHaveProperty('DICOMP_URL')
  })

  it('run nested tasks of their tasks', async () => {
    const { client } = setup
    await setup.join({ slots: 1 })
    const body = 'const inner = distribute((n) => n + 1); return (await inner.map([1, 2, 3])).concat(arg)'
    await client.task({ chunk: 1, inputs: [9], body })
    expect((await client.results(1)).values.get(0)).toEqual([2, 3, 4, 9])
  })
})

describe('a node takes', () => {
  it('no more than its slots can begin', async () => {
    const { client } = setup
    const agent = await setup.join({ slots: 2 })
    const waiting = Array.from({ length: 5 }, () => setup.newFile())
    for (const [at, input] of waiting.entries())
      await client.task({ chunk: at + 1, inputs: [input], body: WAITS })
    const heartbeat = await client.heartbeat(({ held }) => held.length > 0)
    expect(heartbeat.held).toHaveLength(2)
    expect(heartbeat.free).toBe(0)
    expect(client.heldBy(agent.node)).toEqual([1, 2])
    for (const file of waiting) setup.allow(file)
    const { values } = await client.results(1, 2, 3, 4, 5)
    expect(values.size).toBe(1)
    expect(client.of('held').flatMap(({ chunks }) => chunks)).toHaveLength(5)
  })

  it('some more when tasks are known to be short', async () => {
    const { client } = setup
    await setup.join({ slots: 1 })
    await client.task({ chunk: 1, inputs: [0, 0, 0, 0], body: 'return 1' })
    await client.over(1)
    const file = setup.newFile()
    // Of the same job, so the node takes them for short.
    const code = await client.program(`if (arg === 0) return 1; ${WAITS}`)
    for (const chunk of [2, 3, 4]) {
      await client.task({ job: 2, chunk, start: chunk * 10, inputs: [0, 0], code })
      await client.over(chunk, 2)
    }
    for (const chunk of [5, 6, 7])
      await client.task({ job: 2, chunk, start: chunk * 10, inputs: [file], code })
    const { held } = await client.heartbeat(({ held }) => held.length > 1)
    expect(held.length).toBeGreaterThan(1)
    setup.allow(file)
    for (const chunk of [5, 6, 7]) await client.over(chunk, 2)
  })

  it('urgent chunks first, then normal ones, then idle ones', async () => {
    const { client } = setup
    await setup.join({ slots: 1 })
    const [first, ...files] = Array.from({ length: 7 }, () => setup.newFile()) as [string, ...string[]]
    await client.task({ chunk: 1, inputs: [first], body: WAITS })
    await eventually(() => expect(begun(first)).toHaveLength(1))
    const levels = ['p2', 'p1', 'p0', 'p2', 'p1', 'p0'] as const
    for (const [at, level] of levels.entries()) {
      const inputs = [files[at] as string]
      await client.task({ job: 2, chunk: at + 2, start: at, inputs, body: WAITS, level })
      setup.allow(files[at] as string)
    }
    setup.allow(first)
    for (let chunk = 2; chunk < 8; chunk++) await client.over(chunk, 2)
    const order = client.messages.flatMap((each) =>
      each.type === 'result' && each.job === 2 ? [each.chunk] : [],
    )
    const urgency = order.map((chunk) => levels[chunk - 2])
    expect(urgency).toEqual(['p0', 'p0', 'p1', 'p1', 'p2', 'p2'])
  })

  it('only what it has the tags and the memory for, once a client says that it is needed', async () => {
    const { client } = setup
    const plain = await setup.join({ name: 'plain' })
    const big = await setup.join({ name: 'big', tags: ['gpu'], memory: 2 ** 30 })
    const need = { tags: ['gpu'], memory: 2 ** 29 }
    client.live([need])
    const key = needKey(need)
    await client.untilConsumer(`p1_${key}`)
    for (const chunk of [1, 2, 3, 4]) {
      await client.task({ chunk, start: chunk, inputs: [1], need: key, body: 'return 1' })
    }
    await client.results(1, 2, 3, 4)
    expect(client.of('held').every(({ node }) => node === big.node)).toBe(true)
    expect(plain.node).not.toBe(big.node)
  })

  it('a name of its own', async () => {
    const [a, b] = [await setup.join({ name: 'twin' }), await setup.join({ name: 'twin' })]
    expect([a.name, b.name]).toEqual(['twin', 'twin-2'])
    await a.stop()
    expect((await setup.join({ name: 'twin' })).name).toBe('twin')
  })
})
