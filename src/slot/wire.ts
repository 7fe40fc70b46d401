/**
 * The form in which messages cross the boundary. Structured clone writes every property name of every object, so
 * the two messages of the hot path travel as arrays; the rest as they are.
 */
import type { DoneMessage, FromSlot, Payload, RunMessage, ToSlot } from './protocol.ts'

type Message = ToSlot | FromSlot
const RUN = 0
const DONE = 1

export function toWire(message: Message): unknown {
  if (message.type === 'run') {
    const { chunk, program, start, count, spread, attempt, job, timed, alone, skip, payload } = message
    const flags = (spread ? 1 : 0) | (timed ? 2 : 0) | (alone ? 4 : 0)
    return [
      RUN,
      chunk,
      program,
      start,
      count,
      flags,
      attempt,
      job,
      skip.length > 0 ? skip : 0,
      ...fields(payload),
    ]
  }
  if (message.type === 'done') {
    const { chunk, from, count, failed, last, ms, payload } = message
    return [DONE, chunk, from, count, failed.length > 0 ? failed : 0, last, ms, ...fields(payload)]
  }
  return message
}

export function fromWire(wire: unknown): Message {
  if (!Array.isArray(wire)) return wire as Message
  if (wire[0] === RUN) {
    const [, chunk, program, start, count, flags, attempt, job, skip] = wire
    return {
      type: 'run',
      chunk,
      program,
      start,
      count,
      spread: (flags & 1) !== 0,
      timed: (flags & 2) !== 0,
      alone: (flags & 4) !== 0,
      attempt,
      job,
      skip: skip === 0 ? [] : skip,
      payload: payload(wire[9], wire[10]),
    } satisfies RunMessage
  }
  const [, chunk, from, count, failed, last, ms] = wire
  return {
    type: 'done',
    chunk,
    from,
    count,
    failed: failed === 0 ? [] : failed,
    last,
    ms,
    payload: payload(wire[7], wire[8]),
  } satisfies DoneMessage
}

/** Whether something that came out of a slot is a message: code in it may write to the same port. */
export function isFromSlot(wire: unknown): boolean {
  if (Array.isArray(wire)) return wire[0] === DONE && typeof wire[1] === 'number'
  return typeof wire === 'object' && wire !== null && FROM_SLOT.has((wire as { type?: unknown }).type)
}

const FROM_SLOT: ReadonlySet<unknown> = new Set<Exclude<FromSlot['type'], 'done'>>([
  'ready',
  'begun',
  'waiting',
  'log',
  'progress',
  'nested',
  'signal',
  'uncaught',
])

function fields(payload: Payload): [number, unknown] {
  if (payload.kind === 'f64') return [0, payload.values]
  return [1, payload.lists.map((list) => [list.bytes, list.attachments])]
}

function payload(kind: number, data: unknown): Payload {
  if (kind === 0) return { kind: 'f64', values: data as Float64Array }
  const lists = data as [Uint8Array, ArrayBuffer[]][]
  return { kind: 'any', lists: lists.map(([bytes, attachments]) => ({ bytes, attachments })) }
}

/**
 * Before Node.js 24, V8 gives up on fast typed arrays for the life of a thread when one buffer is detached: the same
 * loop took 1190 ms instead of 795 afterwards. So only what the user gave away is moved, and the rest copied.
 */
const DETACHING_IS_FREE = Number(process.versions.node.split('.')[0]) >= 24

/** Buffers of a payload made for one message that are better moved than copied. */
export const movableBuffers = DETACHING_IS_FREE ? ownBuffers : givenBuffers

/** Buffers of a payload that was made for one message: they can be moved instead of copied. */
function ownBuffers(payload: Payload): ArrayBuffer[] {
  if (payload.kind === 'f64')
    return ArrayBuffer.isView(payload.values) ? [payload.values.buffer as ArrayBuffer] : []
  return payload.lists.flatMap((list) => [list.bytes.buffer as ArrayBuffer, ...(list.transfer ?? [])])
}

/** Buffers that the user gave away with `transfer()`. */
export function givenBuffers(payload: Payload): ArrayBuffer[] {
  return payload.kind === 'f64' ? [] : payload.lists.flatMap((list) => list.transfer ?? [])
}

/** Bytes of a payload, for the size of the next chunk. */
export function payloadBytes(payload: Payload): number {
  if (payload.kind === 'f64') return payload.values.length * 8
  let sum = 0
  for (const { bytes, attachments } of payload.lists) {
    sum += bytes.byteLength
    for (const buffer of attachments) sum += buffer.byteLength
  }
  return sum
}
