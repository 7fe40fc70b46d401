/**
 * What leaves: the description of each job, and the messages of its chunks. What is too large for a message is put
 * into the object store first.
 */
import { readFile } from 'node:fs/promises'
import { type Encoded, toFrame } from '../../codec/index.ts'
import type { LedgerChunk } from '../../core/ledger-state.ts'
import { EncodeError } from '../../errors.ts'
import type { Blobs } from '../../nats/blobs.ts'
import { type BlobRef, type Bytes, payloadFrame, specFrame, type TaskMessage } from '../../nats/messages.ts'
import { BLOB_TTL_MS, INLINE_BYTES, VALUE_LIMIT_BYTES } from '../../nats/settings.ts'
import type { Payload } from '../../slot/protocol.ts'
import type { TaskSpec } from '../engine.ts'
import type { Litter } from './litter.ts'

/** Captured values up to this size travel with every chunk; larger ones once. */
const INLINE_ENV_BYTES = 32 << 10
/** Of a message, beside the payload and the description of the job. */
const ENVELOPE_BYTES = 1024

/** What a chunk's message says, but for the description of its job. */
export interface Parcel {
  task: TaskMessage
  /** Of the payload. */
  bytes: number
  blob: BlobRef | undefined
}

/** The chunk cannot leave as it is: only so many of its tasks fit (0: the one that it has is too large). */
export interface Oversize {
  fits: number
  error: EncodeError
}

interface Stored<T> {
  value: Promise<T>
  /** `performance.now()` */
  at: number
}

export class Parcels {
  readonly #blobs: Blobs
  readonly #client: string
  readonly #litter: Litter
  /** Bundles that are stored, by file, and since when. */
  readonly #codes = new Map<string, Stored<BlobRef>>()
  /** Captured values, which are the same object for jobs of the same program. */
  #envs = new WeakMap<Encoded, Stored<Bytes>>()

  /** @param client identity of this engine */
  constructor(blobs: Blobs, litter: Litter, client: string) {
    this.#blobs = blobs
    this.#litter = litter
    this.#client = client
  }

  /**
   * The frame that describes a job, with its code and captured values stored.
   * @throws EncodeError values that cannot be seen by another computer; BlobError; what reading the file throws
   */
  async spec({ program, tags: _, ...spec }: TaskSpec): Promise<Uint8Array> {
    const [code, env] = await Promise.all([this.#code(program.file), this.#env(program.env)])
    const { id, name } = program
    const natives = program.natives.map(({ path: _, ...native }) => native)
    return specFrame({ ...spec, program: { id, name, code, natives, env } })
  }

  /** Something that was stored is gone: everything is stored again. */
  forgetStored(): void {
    this.#codes.clear()
    this.#envs = new WeakMap()
  }

  /**
   * What to say of a chunk, or the promise of it when its payload has to be stored.
   * @param large most bytes of a whole message
   * @param spec the description of its job, which takes part of that
   */
  pack(
    chunk: LedgerChunk,
    spec: Uint8Array,
    payload: Payload,
    skip: number[],
    large: number,
  ): Parcel | Promise<Parcel> | Oversize {
    let frame: Uint8Array
    try {
      frame = payloadFrame(payload)
    } catch (error) {
      // There is no buffer of that size.
      if (!(error instanceof RangeError)) throw error
      return oversize(chunk, Infinity)
    }
    if (frame.length > VALUE_LIMIT_BYTES) return oversize(chunk, frame.length)
    const { job, id, start, count, attempt, tail } = chunk
    const task = (where: Bytes): TaskMessage => ({
      type: 'task',
      client: this.#client,
      job: job.spec.id,
      chunk: id,
      start,
      count,
      attempt,
      skip,
      ...(tail && { tail }),
      payload: where,
    })
    if (frame.length <= Math.min(INLINE_BYTES, large - spec.length - ENVELOPE_BYTES)) {
      return { task: task({ inline: frame }), bytes: frame.length, blob: undefined }
    }
    return this.#blobs.put(frame).then((blob) => {
      this.#litter.use(blob)
      return { task: task({ blob }), bytes: frame.length, blob }
    })
  }

  #code(file: string): Promise<BlobRef> {
    const known = this.#codes.get(file)
    if (isFresh(known)) return known.value
    const value = readFile(file).then((code) => this.#blobs.put(code))
    this.#codes.set(file, { value, at: performance.now() })
    value.catch(() => this.#codes.delete(file))
    return value
  }

  #env(encoded: Encoded): Promise<Bytes> {
    const known = this.#envs.get(encoded)
    if (isFresh(known)) return known.value
    const value = this.#storeEnv(encoded)
    this.#envs.set(encoded, { value, at: performance.now() })
    value.catch(() => this.#envs.delete(encoded))
    return value
  }

  async #storeEnv(encoded: Encoded): Promise<Bytes> {
    const frame = toFrame(encoded)
    if (frame.length > VALUE_LIMIT_BYTES) throw tooLarge('the captured values', frame.length)
    if (frame.length <= INLINE_ENV_BYTES) return { inline: frame }
    return { blob: await this.#blobs.put(frame) }
  }
}

/** Long before it expires, it is stored again. */
function isFresh<T>(stored: Stored<T> | undefined): stored is Stored<T> {
  return stored !== undefined && performance.now() - stored.at < BLOB_TTL_MS / 4
}

function oversize(chunk: LedgerChunk, bytes: number): Oversize {
  const error = tooLarge(`inputs[${chunk.start}]`, bytes)
  return { fits: Math.floor(chunk.count / 2), error }
}

function tooLarge(path: string, bytes: number): EncodeError {
  const size = bytes === Infinity ? 'more bytes than a buffer can have' : `${bytes} bytes`
  return new EncodeError(
    path,
    `it is ${size}, and a value that travels to another computer may have ${VALUE_LIMIT_BYTES} (2 GB)`,
    'send it in parts, or put it in a file that all nodes can read and send its path',
  )
}
