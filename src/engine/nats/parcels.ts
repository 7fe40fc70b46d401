/**
 * What leaves: the description of each job, and the messages of its chunks. What is too large for a message is put
 * into the object store first.
 */
import { readFile } from 'node:fs/promises'
import { toFrame } from '../../codec/index.ts'
import type { LedgerChunk } from '../../core/ledger-state.ts'
import { EncodeError } from '../../errors.ts'
import type { Blobs } from '../../nats/blobs.ts'
import { type BlobRef, type Bytes, payloadFrame, specFrame, writeMessage } from '../../nats/messages.ts'
import { BLOB_TTL_MS, INLINE_BYTES, VALUE_LIMIT_BYTES } from '../../nats/settings.ts'
import type { Payload } from '../../slot/protocol.ts'
import type { TaskSpec } from '../engine.ts'

/** Captured values up to this size travel with every chunk; larger ones once. */
const INLINE_ENV_BYTES = 32 << 10
/** Of a message, beside the payload and the description of the job. */
const ENVELOPE_BYTES = 1024

/** A chunk's message, or the promise of one whose payload is being stored. */
export interface Parcel {
  message: Uint8Array
  /** Of the payload. */
  bytes: number
  blob: BlobRef | undefined
}

/** The chunk cannot leave as it is: only so many of its tasks fit (0: the one that it has is too large). */
export interface Oversize {
  fits: number
  error: EncodeError
}

export class Parcels {
  readonly #blobs: Blobs
  readonly #client: string
  /** Bundles that are stored, by file, and since when. */
  readonly #codes = new Map<string, { ref: Promise<BlobRef>; at: number }>()
  /** Chunks that refer to each stored payload. */
  readonly #uses = new Map<string, number>()

  /** @param client identity of this engine */
  constructor(blobs: Blobs, client: string) {
    this.#blobs = blobs
    this.#client = client
  }

  /**
   * The frame that describes a job, with its code and captured values stored.
   * @throws EncodeError values that cannot be seen by another computer; BlobError; what reading the file throws
   */
  async spec({ program, tags: _, ...spec }: TaskSpec): Promise<Uint8Array> {
    const env = toFrame(program.env)
    if (env.length > VALUE_LIMIT_BYTES) throw tooLarge('the captured values', env.length)
    const [code, bytes] = await Promise.all([this.#code(program.file), this.#inlineOrBlob(env)])
    const { id, name } = program
    const natives = program.natives.map(({ path: _, ...native }) => native)
    return specFrame({ ...spec, program: { id, name, code, natives, env: bytes } })
  }

  /** Something that was stored is gone: everything is stored again. */
  forgetStored(): void {
    this.#codes.clear()
  }

  /**
   * The message of a chunk.
   * @param large most bytes of a whole message
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
    const { job, id, start, count, attempt } = chunk
    const write = (where: Bytes): Uint8Array =>
      writeMessage({
        type: 'task',
        client: this.#client,
        job: job.spec.id,
        chunk: id,
        start,
        count,
        attempt,
        skip,
        spec,
        payload: where,
      })
    if (frame.length <= Math.min(INLINE_BYTES, large - spec.length - ENVELOPE_BYTES)) {
      return { message: write({ inline: frame }), bytes: frame.length, blob: undefined }
    }
    return this.#blobs.put(frame).then((blob) => {
      this.#uses.set(blob.hash, (this.#uses.get(blob.hash) ?? 0) + 1)
      return { message: write({ blob }), bytes: frame.length, blob }
    })
  }

  /** Nobody needs the stored payload of a chunk any more. Where removing it fails, it expires. */
  release(blob: BlobRef): void {
    const uses = (this.#uses.get(blob.hash) ?? 1) - 1
    if (uses > 0) return void this.#uses.set(blob.hash, uses)
    this.#uses.delete(blob.hash)
    this.#blobs.remove(blob).catch(() => {})
  }

  #code(file: string): Promise<BlobRef> {
    const known = this.#codes.get(file)
    if (known && performance.now() - known.at < BLOB_TTL_MS / 4) return known.ref
    const ref = readFile(file).then((code) => this.#blobs.put(code))
    this.#codes.set(file, { ref, at: performance.now() })
    ref.catch(() => this.#codes.delete(file))
    return ref
  }

  async #inlineOrBlob(bytes: Uint8Array): Promise<Bytes> {
    if (bytes.length <= INLINE_ENV_BYTES) return { inline: bytes }
    return { blob: await this.#blobs.put(bytes) }
  }
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
