/**
 * The messages between clients and nodes. They travel as frames of the codec, whose decoder is safe against hostile
 * bytes; `readMessage` also checks their shape, since anything may be published on a subject.
 */
import { decode, type Encoded, encode, fromFrame, toFrame } from '../codec/index.ts'
import { DecodeError } from '../errors.ts'
import type { NestedSpec, Payload } from '../slot/protocol.ts'
import { isPayload, isSpec, SHAPES } from './shapes.ts'

/** Bytes in the object store of the pool. */
export interface BlobRef {
  /** Hex SHA-256 of the bytes: their name. */
  hash: string
  size: number
}

/** Bytes that came with the message, or where they are. */
export type Bytes = { inline: Uint8Array } | { blob: BlobRef }

/** What a node has to have to run a task. Absent fields are no need. */
export interface Need {
  tags?: string[]
  /** Bytes per slot. */
  memory?: number
}

export interface RemoteProgram {
  /** Unique at the client. */
  id: number
  name: string
  /** The bundle. */
  code: BlobRef
  natives: { name: string; version: string; optional: boolean }[]
  /** Captured values: a frame (`toFrame`). */
  env: Bytes
}

/** What a node has to know of a job: sent until the node has shown that it knows it, read once. */
export interface RemoteSpec extends Omit<NestedSpec, 'program'> {
  program: RemoteProgram
}

/** A chunk: client → work queue → node, or from the client to a node that idles. */
export interface TaskMessage {
  type: 'task'
  client: string
  /** Unique at the client, as are chunks. */
  job: number
  chunk: number
  /** Tasks `start` to `start + count`. */
  start: number
  count: number
  attempt: number
  /** Offsets of tasks that must not run. */
  skip: number[]
  /** Little comes after it: the slots of the node had better share it. */
  tail?: boolean | undefined
  /** A frame of the RemoteSpec, which a node that knows the job does not read. Absent where it is known to know it. */
  spec?: Uint8Array | undefined
  /** A frame of the arguments (`payloadFrame`). */
  payload: Bytes
  /** As in `confirm`, which need not be a message of its own then. */
  got?: Confirmation[] | undefined
}

/** A result or a loss that has arrived. */
export type Confirmation = [job: number, chunk: number, seq: number]

/** Node → client. */
export type ToClient =
  /** The node has these chunks: [job, chunk]. */
  | { type: 'held'; node: string; chunks: [job: number, chunk: number][] }
  /** It has no room for these chunks, which were sent to it and not through the queue, or does not know their job. */
  | { type: 'full'; node: string; chunks: [job: number, chunk: number][] }
  | ResultMessage
  /** Tasks that get no result from this node, with why (crashed, timed out, code cannot be loaded). */
  | LostMessage
  | {
      type: 'log'
      node: string
      job: number
      chunk: number
      index: number
      stream: 'stdout' | 'stderr'
      text: string
    }
  /** `value` is a frame. */
  | { type: 'progress'; node: string; job: number; chunk: number; index: number; value: Uint8Array }

export interface ResultMessage {
  type: 'result'
  node: string
  job: number
  chunk: number
  /** Numbers the messages of a chunk that have to be confirmed, from 0. */
  seq: number
  start: number
  count: number
  attempt: number
  /** Offsets, from `start`, of tasks whose element is an error. */
  failed: number[]
  /** Nothing more comes of this chunk: what it has not reported was not begun (or, drained, not finished). */
  last: boolean
  /** Time that slots spent on these tasks, milliseconds. */
  ms: number
  /** A frame of the results. */
  payload: Bytes
  /** For people: `node-a, process 4711`. */
  slot: string
}

export interface LostMessage {
  type: 'lost'
  node: string
  job: number
  chunk: number
  seq: number
  start: number
  count: number
  last: boolean
  /** The execution that failed, where it may be tried again (a timeout). */
  attempt: number | undefined
  /** A frame of the error. */
  error: Uint8Array
}

/** Client → node. */
export type ToNode =
  /** Results and losses that have arrived. */
  | { type: 'confirm'; client: string; got: Confirmation[] }
  /** Nobody wants these chunks from this node: stop them, report nothing. */
  | { type: 'drop'; client: string; chunks: [job: number, chunk: number][] }
  /** Nobody wants these tasks of a chunk. */
  | { type: 'dropTasks'; client: string; job: number; chunk: number; start: number; end: number }
  /** The job is over: forget what is kept of it. */
  | { type: 'forget'; client: string; job: number }
  /** Take nothing new, finish what runs, leave. */
  | { type: 'drain' }

/** Client → all nodes of a pool. */
export type ToNodes = { type: 'alive'; client: string; needs: Need[] } | { type: 'bye'; client: string }

/** Node → all clients of a pool. */
export interface Heartbeat {
  type: 'heartbeat'
  /** Unique, made anew with each start of the agent. */
  node: string
  /** For people, unique in the pool. */
  name: string
  /** When the agent started, milliseconds since 1970 by its own clock: for people only. */
  startedAt: number
  state: 'working' | 'draining' | 'left'
  slots: number
  /** Slots without work. */
  free: number
  tags: string[]
  /** Bytes per slot. */
  memory: number
  host: { os: string; arch: string; cpus: number; runtime: string; dicomp: string; load: number }
  protocol: number
  /** Everything that it holds: [client, job, chunk]. */
  held: [client: string, job: number, chunk: number][]
}

export type AnyMessage = TaskMessage | ToClient | ToNode | ToNodes | Heartbeat

export type MessageType = AnyMessage['type']

export const writeMessage = (message: AnyMessage): Uint8Array => toFrame(encode(message))

/**
 * @param kinds what may come on this subject
 * @returns undefined when the bytes are anything else: hostile, damaged, of another version. Never throws.
 */
export function readMessage<T extends MessageType>(
  bytes: Uint8Array,
  kinds: readonly T[],
): Extract<AnyMessage, { type: T }> | undefined {
  let message: unknown
  try {
    message = decode(fromFrame(bytes))
  } catch {
    return undefined
  }
  const type = (message as { type?: unknown } | null | undefined)?.type
  if (!kinds.includes(type as T) || !SHAPES[type as T](message)) return undefined
  return message as Extract<AnyMessage, { type: T }>
}

/**
 * Whether the server itself put a message on this subject, out of what is stored somewhere: a request to JetStream may
 * name any subject for its answer, also one on which its sender must not publish. Nobody of us does that, so readers
 * take such a message for none.
 */
export const isRelayed = (message: { headers?: { has(name: string): boolean } }): boolean =>
  message.headers?.has('Nats-Stream') ?? false

/** The `spec` of a task message. */
export const specFrame = (spec: RemoteSpec): Uint8Array => toFrame(encode(spec))

/** @throws DecodeError when it is no spec */
export function readSpec(frame: Uint8Array): RemoteSpec {
  const spec = decode(fromFrame(frame))
  if (!isSpec(spec))
    throw new DecodeError('The description of a job is damaged, or of another version of dicomp')
  return spec as RemoteSpec
}

/**
 * Arguments or results as one byte string. Nothing is moved out of the payload.
 * @throws EncodeError when it has a SharedArrayBuffer: no other computer can see it
 */
export function payloadFrame(payload: Payload): Uint8Array {
  const wire =
    payload.kind === 'f64'
      ? [0, payload.values]
      : [1, payload.lists.map(({ bytes, attachments }) => [bytes, attachments])]
  return toFrame(encode(wire))
}

/**
 * @param frame it, or what is in it
 * @throws DecodeError when it is no payload. That its lists can be decoded is not checked.
 */
export function readPayload(frame: Uint8Array | Encoded): Payload {
  const wire = decode(frame instanceof Uint8Array ? fromFrame(frame) : frame)
  if (!isPayload(wire))
    throw new DecodeError('Arguments or results are damaged, or of another version of dicomp')
  const [kind, data] = wire as [0, Float64Array | number[]] | [1, [Uint8Array, ArrayBuffer[]][]]
  if (kind === 0) return { kind: 'f64', values: data }
  return { kind: 'any', lists: data.map(([bytes, attachments]): Encoded => ({ bytes, attachments })) }
}
