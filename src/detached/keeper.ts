/**
 * Large bytes of one job, in pieces. Not in the object store: what is there is shared by its content, and this has to
 * go with its job and stay as long as that.
 */
import { createHash, randomBytes } from 'node:crypto'
import { BlobError } from '../errors.ts'
import type { Connection } from '../nats/connection.ts'
import { detached, streamOfKind } from '../nats/detached.ts'
import { VALUE_LIMIT_BYTES } from '../nats/settings.ts'
import type { Kept } from './record.ts'
import { insistently, scan, write } from './stream.ts'

const PIECE_BYTES = 512 << 10
/** Of a message, beside the piece. */
const ENVELOPE_BYTES = 4096
const WINDOW = 8
const LAGS = 5
const LAG_MS = 200

export class Keeper {
  readonly #connection: Connection
  readonly #job: string

  constructor(connection: Connection, job: string) {
    this.#connection = connection
    this.#job = job
  }

  /**
   * Stores bytes. Waits while the server is away.
   * @throws BlobError too large; StoreError refused; ConnectError
   */
  async put(bytes: Uint8Array): Promise<Kept> {
    if (bytes.length > VALUE_LIMIT_BYTES) {
      throw new BlobError(
        `A value of ${bytes.length} bytes is larger than the limit of ${VALUE_LIMIT_BYTES}`,
        { fix: 'send it in parts, or put it in a file that all nodes can read and send its path' },
      )
    }
    const hash = createHash('sha256').update(bytes).digest('hex')
    return insistently(this.#connection, async () => {
      const id = randomBytes(9).toString('base64url')
      return { id, size: bytes.length, pieces: await this.#upload(id, bytes), hash }
    })
  }

  /**
   * The bytes, verified by their hash. Waits while the server is away.
   * @throws BlobError they are not there any more, or damaged
   */
  async get({ id, size, pieces, hash }: Kept): Promise<Uint8Array> {
    const { pool } = this.#connection
    for (let attempt = 1; ; attempt++) {
      const parts = new Map<number, Uint8Array>()
      for await (const { mark, data } of scan(
        this.#connection,
        streamOfKind('R', pool),
        detached.bytes(pool, this.#job, id),
      ))
        parts.set(Number(mark), data)
      const ordered = Array.from({ length: pieces }, (_, at) => parts.get(at) ?? new Uint8Array(0))
      const bytes = ordered.length === 1 ? (ordered[0] as Uint8Array) : new Uint8Array(Buffer.concat(ordered))
      if (bytes.length === size && createHash('sha256').update(bytes).digest('hex') === hash) return bytes
      const missing = parts.size < pieces
      // A replica may lag behind.
      if (missing && attempt <= LAGS) {
        await new Promise((resolve) => setTimeout(resolve, LAG_MS * attempt))
        continue
      }
      throw new BlobError(
        missing
          ? `A part of the job ${this.#job} is not there any more (${parts.size} of ${pieces} pieces)`
          : `A part of the job ${this.#job} is damaged`,
        { fix: 'submit the job again' },
      )
    }
  }

  /** @returns the number of pieces */
  async #upload(id: string, bytes: Uint8Array): Promise<number> {
    const { pool, maxPayload } = this.#connection
    const subject = detached.bytes(pool, this.#job, id)
    const most = Math.max(1, Math.min(PIECE_BYTES, maxPayload - ENVELOPE_BYTES))
    const pieces = Math.ceil(bytes.length / most)
    const pending = new Set<Promise<unknown>>()
    let failure: { error: unknown } | undefined
    for (let at = 0; at < pieces && !failure; at++) {
      const piece = bytes.subarray(at * most, (at + 1) * most)
      const sent = write(this.#connection, subject, piece, { mark: String(at) }).catch((error) => {
        failure ??= { error }
      })
      pending.add(sent)
      void sent.then(() => pending.delete(sent))
      if (pending.size >= WINDOW) await Promise.race(pending)
    }
    await Promise.all(pending)
    if (failure) throw failure.error
    return pieces
  }
}
