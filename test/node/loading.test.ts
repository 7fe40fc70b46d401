/** What happens to a chunk while its code is still on its way. */
import { randomUUID } from 'node:crypto'
import { afterAll, expect, test } from 'vitest'
import { decode, encode, fromFrame, toFrame } from '../../src/codec/index.ts'
import { LocalEngine } from '../../src/engine/local.ts'
import {
  payloadFrame,
  type RemoteSpec,
  readMessage,
  readPayload,
  specFrame,
  type TaskMessage,
} from '../../src/nats/messages.ts'
import { Natives } from '../../src/node/natives.ts'
import { Programs } from '../../src/node/programs.ts'
import { Work } from '../../src/node/work.ts'
import { eventually } from '../slots/leftovers.ts'
import { refOf } from './client.ts'

const engine = new LocalEngine({ slots: 1 })
afterAll(() => engine.close())

function setUp() {
  // Code that no cache has.
  const text = `export default (env) => { env([]); return { fn: (n) => n * 2, entities: [] } } // ${randomUUID()}`
  const code = Buffer.from(text)
  const spec: RemoteSpec = {
    id: 'job-1',
    name: 'double',
    program: { id: 1, name: 'double', code: refOf(code), natives: [], env: { inline: toFrame(encode([])) } },
    spread: false,
    priority: 0,
    cap: 1000,
    solo: false,
    timeout: undefined,
    concurrency: Infinity,
    crashes: 3,
    pool: { isolation: 'process', memory: undefined, env: {} },
  }

  /** Ten tasks, the arguments of which are their indexes. */
  const message: TaskMessage = {
    type: 'task',
    client: 'tester.x',
    job: 1,
    chunk: 1,
    start: 10,
    count: 10,
    attempt: 1,
    skip: [],
    spec: specFrame(spec),
    payload: { inline: payloadFrame({ kind: 'f64', values: Array.from({ length: 10 }, (_, n) => 10 + n) }) },
  }
  let deliver: (bytes: Uint8Array) => void = () => {}
  let fail: (error: Error) => void = () => {}
  const fetched = new Promise<Uint8Array>((resolve, reject) => {
    deliver = resolve
    fail = reject
  })
  const shareFrame = () => fetched.then(fromFrame)
  const blobs = {
    get: () => fetched,
    shareFrame,
    put: () => Promise.reject(new Error('nothing is large here')),
  }
  /** By index. */
  const values = new Map<number, unknown>()
  const lost = new Map<number, string>()
  const work = new Work({
    node: 'node.y',
    name: 'node',
    engine,
    programs: new Programs(blobs, new Natives(false), 'node'),
    blobs,
    memory: undefined,
    runtime: undefined,
    answer() {},
    held() {},
    room() {},
    send(_, bytes) {
      const said = readMessage(bytes, ['result', 'lost'])
      for (let offset = 0; offset < (said?.count ?? 0); offset++) {
        if (said?.type === 'lost')
          lost.set(said.start + offset, (decode(fromFrame(said.error)) as Error).message)
        if (said?.type !== 'result' || !('inline' in said.payload)) continue
        const payload = readPayload(said.payload.inline)
        values.set(said.start + offset, payload.kind === 'f64' ? payload.values[offset] : undefined)
      }
    },
  })
  return { work, message, values, lost, deliver: () => deliver(code), fail }
}

test('tasks of it that are dropped meanwhile do not run, the others do', async () => {
  const { work, message, values, lost, deliver } = setUp()
  work.accept(message, '$JS.ACK.T_main.p1_any.1.1.1.1.1')
  work.dropTasks('tester.x', 1, 1, 13, 16)
  deliver()
  await eventually(() => expect(values.size + lost.size).toBe(7))
  expect(Object.fromEntries(values)).toEqual({ 10: 20, 11: 22, 12: 24, 16: 32, 17: 34, 18: 36, 19: 38 })
  work.close()
})

test('when the code does not come, only the tasks that are still wanted are lost', async () => {
  const { work, message, values, lost, fail } = setUp()
  work.accept(message, '$JS.ACK.T_main.p1_any.1.1.1.1.1')
  work.dropTasks('tester.x', 1, 1, 10, 15)
  fail(new Error('not there'))
  await eventually(() => expect(lost.size).toBe(5))
  expect([...lost.keys()]).toEqual([15, 16, 17, 18, 19])
  expect(lost.get(15)).toContain('not there')
  expect(values.size).toBe(0)
  work.close()
})
