import { createHash, randomFillSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { decode, type Encoded, encode, toFrame } from '../../src/codec/index.ts'
import { DecodeError } from '../../src/errors.ts'
import { request } from '../../src/nats/api.ts'
import { Blobs } from '../../src/nats/blobs.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { layOut } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'

let nats: Nats
let connection: Connection
let other: Connection
let blobs: Blobs

const open = (pool = 'main') =>
  openConnection({ ...parseLink(nats.url), pool }, { role: 'client', identity: newIdentity() })
const random = (size: number) => randomFillSync(new Uint8Array(size))
interface State {
  state: { messages: number; bytes: number }
}
const state = async () => (await request<State>(connection, 'STREAM.INFO.OBJ_dicomp_main')).state

beforeAll(async () => {
  nats = await startNats()
  connection = await open()
  other = await open()
  await layOut(connection)
  blobs = new Blobs(connection)
})
afterAll(async () => {
  await connection.close()
  await other.close()
  await nats.stop()
})

test.each([0, 1, 1 << 20, (1 << 20) + 1, 20_000_003])(
  '%i bytes there and back, to somebody else',
  async (size) => {
    const bytes = random(size)
    const ref = await blobs.put(bytes)
    expect(ref).toEqual({ hash: createHash('sha256').update(bytes).digest('hex'), size })
    const got = await new Blobs(other).get(ref)
    expect(Buffer.compare(got, bytes)).toBe(0)
  },
)

test('the same bytes are stored once, also when five put them at once', async () => {
  const bytes = random(3 << 20)
  const before = (await state()).messages
  const all = [blobs, blobs, new Blobs(other), new Blobs(connection), new Blobs(other)]
  await Promise.all(all.map((each) => each.put(bytes)))
  await expect.poll(async () => (await state()).messages - before).toBe(4)
  await blobs.put(bytes)
  expect((await state()).messages - before).toBe(4)
})

test('a frame comes as what is in it, to each a copy of its own or to all of them one', async () => {
  const value = random(3_000_001)
  const ref = await blobs.put(toFrame(encode(value)))
  const reader = new Blobs(other)
  const isWhole = (got: Encoded) => Buffer.compare(decode(got) as Uint8Array, value) === 0
  const [a, b] = await Promise.all([reader.getFrame(ref), reader.getFrame(ref)])
  expect(isWhole(a)).toBe(true)
  new Uint8Array(a.attachments[0] as ArrayBuffer).fill(0)
  expect(isWhole(b)).toBe(true)
  const [c, d] = await Promise.all([reader.shareFrame(ref), reader.shareFrame(ref)])
  expect(c).toBe(d)
  expect(isWhole(c)).toBe(true)
})

test('what is no frame is told from what is damaged', async () => {
  for (const bytes of [new Uint8Array(0), random(15), random(3_000_000), toFrame(encode('abc')).subarray(8)])
    await expect(blobs.getFrame(await blobs.put(bytes))).rejects.toThrow(DecodeError)
  const frame = toFrame(encode(random(5000)))
  const ref = await blobs.put(frame)
  for (const at of [0, 4, 8, 2500]) {
    await blobs.put(frame)
    const wrong = frame.slice()
    wrong[at] = (wrong[at] ?? 0) ^ 1
    const upload = await pieceSubjects(ref.hash)
    await request(connection, 'STREAM.PURGE.OBJ_dicomp_main', { filter: upload })
    await connection.nc.request(upload, wrong)
    await expect(blobs.getFrame(ref)).rejects.toThrow('damaged')
  }
})

test('without memory for it: an error that says so', async () => {
  const size = 3_000_017
  const ref = await blobs.put(toFrame(encode(random(size))))
  const scarce = new Proxy(Uint8Array, {
    construct(target, args) {
      if (args[0] === size) throw new RangeError('Array buffer allocation failed')
      return Reflect.construct(target, args)
    },
  })
  vi.stubGlobal('Uint8Array', scarce)
  const got = blobs.getFrame(ref).finally(() => vi.unstubAllGlobals())
  await expect(got).rejects.toMatchObject({
    code: 'DICOMP_E_BLOB',
    message: /no memory for .*\(3000\d+ bytes\)/,
  })
  expect((decode(await blobs.getFrame(ref)) as Uint8Array).length).toBe(size)
})

test('removed means gone: an error, and no message is left', async () => {
  const before = await state()
  const ref = await blobs.put(random(2 << 20))
  await blobs.remove(ref)
  await blobs.remove(ref)
  await expect(blobs.get(ref)).rejects.toMatchObject({ code: 'DICOMP_E_BLOB', message: /does not have/ })
  expect((await state()).messages).toBe(before.messages)
  await blobs.put(random(1))
})

test('bytes that are not what their name says are not returned', async () => {
  const bytes = random(5000)
  const ref = await blobs.put(bytes)
  const pieces = await pieceSubjects(ref.hash)
  await request(connection, 'STREAM.PURGE.OBJ_dicomp_main', { filter: pieces })
  bytes[4999] = (bytes[4999] ?? 0) ^ 1
  await connection.nc.request(pieces, bytes)
  await expect(blobs.get({ ...ref, size: 4999 })).rejects.toThrow('damaged')
  await expect(blobs.get(ref)).rejects.toThrow('damaged')
  // It is known now, and who puts them again repairs it.
  await expect(blobs.get(ref)).rejects.toThrow('does not have')
  bytes[4999] = (bytes[4999] ?? 0) ^ 1
  await blobs.put(bytes)
  expect(Buffer.compare(await new Blobs(other).get(ref), bytes)).toBe(0)
})

test('pieces that were removed, before or while they are read: an error, not a wait', async () => {
  const bytes = random(40 << 20)
  const ref = await blobs.put(bytes)
  const pieces = await pieceSubjects(ref.hash)
  const reading = new Blobs(other).get(ref)
  reading.catch(() => {})
  await expect.poll(() => other.nc.stats().inBytes).toBeGreaterThan(2 << 20)
  await request(connection, 'STREAM.PURGE.OBJ_dicomp_main', { filter: pieces })
  const outcome = await reading.then(
    (got) => Buffer.compare(got, bytes),
    (error) => error.code,
  )
  // All of it may have been on its way already.
  expect([0, 'DICOMP_E_BLOB']).toContain(outcome)
  await expect(blobs.get(ref)).rejects.toMatchObject({ code: 'DICOMP_E_BLOB' })
  await Promise.all([blobs.put(bytes), new Blobs(other).put(bytes)])
  expect(Buffer.compare(await blobs.get(ref), bytes)).toBe(0)
})

test('what was removed can be put again', async () => {
  const bytes = random(100)
  const ref = await blobs.put(bytes)
  await blobs.remove(ref)
  await blobs.put(bytes)
  expect(Buffer.compare(await blobs.get(ref), bytes)).toBe(0)
})

test('a server that says nothing: an error after the stall time, not a wait', async () => {
  const ref = await blobs.put(random(1000))
  const impatient = new Blobs(other, { stallMs: 100 })
  await nats.kill('SIGSTOP')
  await expect(impatient.get(ref)).rejects.toMatchObject({ code: 'DICOMP_E_BLOB' })
  await nats.kill('SIGCONT')
  expect((await impatient.get(ref)).length).toBe(1000)
})

test('a server that is killed and comes back: what was put is there, what was under way is completed', async () => {
  const old = await blobs.put(random(1000))
  const bytes = random(60 << 20)
  const sent = connection.nc.stats().outBytes
  const putting = blobs.put(bytes)
  await expect.poll(() => connection.nc.stats().outBytes - sent).toBeGreaterThan(1 << 20)
  await nats.kill('SIGKILL')
  await nats.restart()
  const ref = await putting
  expect(Buffer.compare(await new Blobs(other).get(ref), bytes)).toBe(0)
  expect((await blobs.get(old)).length).toBe(1000)
})

test('a full store says so and keeps what it has', async () => {
  const full = await open('full')
  await layOut(full, { maxBytes: 3 << 20 })
  const store = new Blobs(full)
  const ref = await store.put(random(1 << 20))
  await expect(store.put(random(4 << 20))).rejects.toMatchObject({ code: 'DICOMP_E_STORE_FULL' })
  expect((await store.get(ref)).length).toBe(1 << 20)
  await full.close()
})

test('no object store: says what makes one', async () => {
  const nowhere = await open('nowhere')
  const store = new Blobs(nowhere)
  await expect(store.put(random(1))).rejects.toThrow(/dicomp join/)
  await expect(store.get({ hash: '0'.repeat(64), size: 1 })).rejects.toThrow(/dicomp join/)
  await nowhere.close()
})

test('a value over the limit is refused before anything is sent or allocated', async () => {
  await expect(blobs.get({ hash: '0'.repeat(64), size: 2 ** 40 })).rejects.toThrow('larger than the limit')
})

async function pieceSubjects(hash: string): Promise<string> {
  const name = Buffer.from(hash).toString('base64url')
  const subject = `$O.dicomp_main.M.${name.padEnd(Math.ceil(name.length / 4) * 4, '=')}`
  const meta = await connection.nc.request(`$JS.API.DIRECT.GET.OBJ_dicomp_main.${subject}`)
  return `$O.dicomp_main.C.${meta.json<{ nuid: string }>().nuid}`
}
