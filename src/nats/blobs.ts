/**
 * Bytes in the object store of the pool, named by their SHA-256. In the format of NATS object stores, so that its
 * tools show them; written and read here, because the library's own reader hangs when an object is removed meanwhile,
 * and its writer waits for a round trip after every piece.
 *
 *   $O.<bucket>.C.<upload>   the pieces, in order
 *   $O.<bucket>.M.<name>     what they are, written last
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Encoded, IncomingFrame } from '../codec/index.ts'
import { BlobError, ConnectError } from '../errors.ts'
import { API_ERROR, request } from './api.ts'
import type { Connection } from './connection.ts'
import { isNoResponders } from './failures.ts'
import type { BlobRef } from './messages.ts'
import { BlobReader, type Intake, MissingPieces } from './pieces.ts'
import { BLOB_CHUNK_BYTES, BLOB_TTL_MS, VALUE_LIMIT_BYTES } from './settings.ts'
import { bucketOf } from './subjects.ts'

export interface BlobOptions {
  /** Nothing came for this long: it is asked for again, then given up. Milliseconds. @default 15000 */
  stallMs?: number
}

interface Meta {
  upload: string
  size: number
  pieces: number
  /** Somebody found that the pieces are not what they should be. */
  bad: boolean
  /** Sequence number in the stream. */
  sequence: number
  /** When it was put, by the server's clock. */
  time: number
}

const STALL_MS = 15_000
/** Pieces on their way to the server at the same time: enough for 100 MB/s over 50 ms. */
const WINDOW = 8
/** How long it is tried again while there is a connection: a server that has just started needs a moment. */
const PATIENCE_MS = 1000
/** A leader that was killed is replaced after 4 to 8 seconds. */
const CLUSTER_PATIENCE_MS = 15_000
const PAUSE_MS = 250
/** Servers of a cluster are milliseconds behind each other, seconds while they elect a leader. */
const LAG_TRIES = 12
const LAG_MS = 100
/** Hashing stops the rest of the program for a millisecond per MB or so. */
const HASH_STEP = 4 << 20
const FULL: readonly number[] = [
  API_ERROR.insufficientResources,
  API_ERROR.memoryExceeded,
  API_ERROR.noStorage,
  API_ERROR.storeFailed,
]

/** JetStream refused a piece. */
class PutError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export class Blobs {
  readonly #connection: Connection
  readonly #bucket: string
  readonly #stream: string
  readonly #stallMs: number
  readonly #reader: BlobReader
  readonly #puts = new Map<string, Promise<BlobRef>>()
  readonly #frames = new Map<string, Promise<Encoded>>()

  constructor(connection: Connection, options: BlobOptions = {}) {
    this.#connection = connection
    this.#bucket = bucketOf(connection.pool)
    this.#stream = `OBJ_${this.#bucket}`
    this.#stallMs = options.stallMs ?? STALL_MS
    this.#reader = new BlobReader(connection, this.#stream, this.#stallMs)
  }

  /**
   * Stores bytes, which must not change meanwhile; nothing is sent when they are there already. They stay for a day
   * at least half of which is left when this returns. While the server is away, it waits.
   * @throws BlobError too large (VALUE_LIMIT_BYTES), store full, or the server refuses
   */
  async put(bytes: Uint8Array): Promise<BlobRef> {
    if (bytes.length > VALUE_LIMIT_BYTES) {
      throw new BlobError(
        `A value of ${bytes.length} bytes is larger than the limit of ${VALUE_LIMIT_BYTES}`,
        {
          fix: 'send it in parts, or put it in a file that all nodes can read and send its name',
        },
      )
    }
    const hash = await sha256(bytes)
    return shared(this.#puts, hash, async () => {
      await this.#retried(hash, () => this.#put(hash, bytes))
      return { hash, size: bytes.length }
    })
  }

  /**
   * Bytes that were put, verified by their hash. While the server is away, it waits.
   * @throws BlobError they are not there (any more), damaged, or do not come
   */
  async get(ref: BlobRef): Promise<Uint8Array> {
    const { bytes } = await this.#get(ref, () => new Plain(ref.size))
    return bytes
  }

  /**
   * The same where they are a frame: each attachment comes into a buffer of its own and is not copied again.
   * @throws DecodeError they are no frame; BlobError no memory for them, and as `get`
   */
  async getFrame(ref: BlobRef): Promise<Encoded> {
    const incoming = await this.#get(ref, () => new IncomingFrame(ref.size))
    try {
      // All bytes have come: it is there, or there is an error.
      return incoming.encoded as Encoded
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new BlobError(`There is no memory for ${ref.hash.slice(0, 12)}… (${ref.size} bytes)`, {
        fix: 'use nodes with more memory, or send it in parts',
        cause: error,
      })
    }
  }

  /** The same for those who only read it: all who ask for it meanwhile share one download and one result. */
  shareFrame(ref: BlobRef): Promise<Encoded> {
    return shared(this.#frames, `${ref.hash} ${ref.size}`, () => this.getFrame(ref))
  }

  /** Removes them, where they are there. Needs the permissions of a client. */
  async remove(ref: BlobRef): Promise<void> {
    const meta = await this.#retried(ref.hash, () => this.#meta(ref.hash))
    if (meta === undefined) return
    await this.#purge(this.#metaSubject(ref.hash))
    await this.#purge(this.#piecesSubject(meta.upload))
  }

  async #put(hash: string, bytes: Uint8Array): Promise<void> {
    const there = await this.#meta(hash)
    const fits = there?.size === bytes.length && !there.bad
    if (fits && Date.now() - there.time < BLOB_TTL_MS / 2) return
    const upload = randomBytes(12).toString('hex')
    try {
      await this.#upload(upload, bytes)
      await this.#publishMeta(hash, { upload, size: bytes.length, bad: false }, there?.sequence ?? 0)
    } catch (error) {
      this.#discard(upload)
      // Somebody else put the same bytes meanwhile.
      if (error instanceof PutError && error.code === API_ERROR.wrongLastSequence)
        return this.#put(hash, bytes)
      throw error
    }
    if (there) this.#discard(there.upload)
  }

  async #upload(upload: string, bytes: Uint8Array): Promise<void> {
    const subject = this.#piecesSubject(upload)
    const pieceBytes = this.#pieceBytes()
    const pending = new Set<Promise<void>>()
    let failure: unknown
    for (let at = 0; at < bytes.length && failure === undefined; at += pieceBytes) {
      const sent = this.#publish(subject, bytes.subarray(at, at + pieceBytes)).then(
        () => {},
        (error) => {
          failure ??= error
        },
      )
      pending.add(sent)
      void sent.then(() => pending.delete(sent))
      // One at a time: the server stores pieces in the order in which they were sent.
      if (pending.size >= WINDOW) await Promise.race(pending)
    }
    await Promise.all(pending)
    if (failure !== undefined) throw failure
  }

  /** @throws PutError with `wrongLastSequence` when it is not the next after `lastSequence` */
  #publishMeta(
    hash: string,
    { upload, size, bad }: Pick<Meta, 'upload' | 'size' | 'bad'>,
    lastSequence: number,
  ): Promise<void> {
    const pieceBytes = this.#pieceBytes()
    const meta = {
      name: hash,
      bucket: this.#bucket,
      nuid: upload,
      size,
      chunks: Math.ceil(size / pieceBytes),
      digest: `SHA-256=${padded(Buffer.from(hash, 'hex'))}`,
      mtime: new Date().toISOString(),
      deleted: bad,
      options: { max_chunk_size: pieceBytes },
    }
    return this.#publish(this.#metaSubject(hash), Buffer.from(JSON.stringify(meta)), {
      'Nats-Rollup': 'sub',
      'Nats-Expected-Last-Subject-Sequence': String(lastSequence),
    })
  }

  /** @throws PutError, or an error of the client library */
  async #publish(subject: string, data: Uint8Array, header?: Record<string, string>): Promise<void> {
    // Without a header it is sent at once: pieces that waited for an import, even of what is loaded, could overtake.
    const head = header && (await import('@nats-io/transport-node')).headers()
    for (const [key, value] of Object.entries(header ?? {})) head?.set(key, value)
    const ack = await this.#connection.request(subject, data, {
      timeout: this.#stallMs,
      ...(head ? { headers: head } : {}),
    })
    const { error } = ack.json<{ error?: { code: number; err_code?: number; description?: string } }>()
    if (error) throw new PutError(error.err_code ?? error.code, error.description ?? 'refused')
  }

  async #get<T extends Intake>(ref: BlobRef, begin: () => T): Promise<T> {
    if (ref.size > VALUE_LIMIT_BYTES)
      throw new BlobError(`A value of ${ref.size} bytes is larger than the limit of ${VALUE_LIMIT_BYTES}`)
    return this.#retried(ref.hash, () => this.#find(ref, begin))
  }

  async #find<T extends Intake>(ref: BlobRef, begin: () => T): Promise<T> {
    // In a cluster another server may answer than the one that has confirmed the put, and be a moment behind.
    const tries = this.#isCluster() ? LAG_TRIES : 2
    for (let attempt = 1; ; attempt++) {
      const meta = await this.#meta(ref.hash)
      if (meta && meta.size !== ref.size) throw damaged(ref)
      const intake = meta && !meta.bad ? begin() : undefined
      if (meta && intake && (await this.#read(ref.hash, meta, intake))) return intake
      if (attempt >= tries) {
        if (meta && !meta.bad) await this.#markBad(ref.hash, meta)
        throw missing(ref)
      }
      if (attempt > 1) await new Promise((resolve) => setTimeout(resolve, LAG_MS))
    }
  }

  /**
   * @returns false when pieces are missing
   * @throws BlobError when they are others
   */
  async #read(name: string, meta: Meta, intake: Intake): Promise<boolean> {
    const hash = createHash('sha256')
    try {
      await this.#reader.read(this.#piecesSubject(meta.upload), meta, hash, intake)
      if (hash.digest('hex') === name) return true
    } catch (error) {
      if (error instanceof MissingPieces) return false
      throw error
    }
    await this.#markBad(name, meta)
    throw damaged({ hash: name })
  }

  /** Who puts the bytes again would find them there otherwise. */
  async #markBad(hash: string, meta: Meta): Promise<void> {
    await this.#publishMeta(hash, { ...meta, bad: true }, meta.sequence).catch((error) => {
      // Somebody else was quicker to mark or to replace it.
      if (!(error instanceof PutError)) throw error
    })
  }

  async #meta(hash: string): Promise<Meta | undefined> {
    const reply = await this.#connection.request(
      `$JS.API.DIRECT.GET.${this.#stream}.${this.#metaSubject(hash)}`,
      '',
      { timeout: this.#stallMs },
    )
    if (reply.headers === undefined || reply.headers.code >= 400) return undefined
    const { nuid, size, chunks, deleted } = parse(reply.data)
    if (typeof nuid !== 'string' || !/^\w+$/.test(nuid)) return undefined
    if (!Number.isSafeInteger(size) || !Number.isSafeInteger(chunks)) return undefined
    return {
      upload: nuid,
      size: size as number,
      pieces: chunks as number,
      bad: deleted === true,
      sequence: Number(reply.headers.get('Nats-Sequence')),
      time: Date.parse(reply.headers.get('Nats-Time-Stamp')) || 0,
    }
  }

  /** Repeats what failed because the connection did, or a server of the cluster. */
  async #retried<T>(hash: string, work: () => Promise<T>): Promise<T> {
    const patience = this.#isCluster() ? CLUSTER_PATIENCE_MS : PATIENCE_MS
    let deadline = performance.now() + patience
    for (let attempt = 1; ; attempt++) {
      await this.#connection.untilUp()
      try {
        return await work()
      } catch (error) {
        if (error instanceof BlobError || error instanceof ConnectError) throw error
        if (error instanceof PutError) throw refused(error)
        const { up, nc } = this.#connection
        // Twice at least: a program that computed for long finds its timers due before it reads the answers.
        if (nc.isClosed() || (up && attempt > 1 && performance.now() > deadline)) {
          const { message } = error as Error
          throw new BlobError(`The object store does not do its part for ${hash.slice(0, 12)}…: ${message}`, {
            fix: isNoResponders(error)
              ? 'start a node (`dicomp join`) or `dicomp up`, which make the object store'
              : 'see the log of the nats-server',
            cause: error,
          })
        }
        if (!up) deadline = performance.now() + patience
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
    }
  }

  /** Removes pieces that nobody will read; where that fails they expire. */
  #discard(upload: string): void {
    if (this.#connection.role === 'client') this.#purge(this.#piecesSubject(upload)).catch(() => {})
  }

  async #purge(filter: string): Promise<void> {
    await request(this.#connection, `STREAM.PURGE.${this.#stream}`, { filter })
  }

  #isCluster(): boolean {
    return this.#connection.nc.info?.cluster !== undefined
  }

  #pieceBytes(): number {
    return Math.min(BLOB_CHUNK_BYTES, this.#connection.maxPayload)
  }

  #piecesSubject(upload: string): string {
    return `$O.${this.#bucket}.C.${upload}`
  }

  #metaSubject(hash: string): string {
    return `$O.${this.#bucket}.M.${padded(Buffer.from(hash))}`
  }
}

/** Bytes as they are. */
class Plain implements Intake {
  readonly bytes: Uint8Array
  #at = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
  }

  add(data: Uint8Array): void {
    this.bytes.set(data, this.#at)
    this.#at += data.length
  }
}

/** SHA-256, hex, with pauses in which the rest of the program goes on. */
async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += HASH_STEP) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve))
    hash.update(bytes.subarray(at, at + HASH_STEP))
  }
  return hash.digest('hex')
}

function shared<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const there = running.get(key)
  if (there) return there
  const result = work().finally(() => running.delete(key))
  running.set(key, result)
  return result
}

/** base64url with padding, as object stores have it. */
function padded(bytes: Buffer): string {
  const text = bytes.toString('base64url')
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
}

function parse(data: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(data)) ?? {}
  } catch {
    return {}
  }
}

function missing({ hash, size }: BlobRef): BlobError {
  return new BlobError(
    `The object store does not have ${hash.slice(0, 12)}… (${size} bytes), or not any more`,
    {
      fix: 'submit again; what nobody used for a day is removed',
    },
  )
}

function damaged({ hash }: Pick<BlobRef, 'hash'>): BlobError {
  return new BlobError(
    `What the object store has as ${hash.slice(0, 12)}… is something else: it is damaged`,
    {
      fix: 'submit again; see the disk of the server',
    },
  )
}

function refused(error: PutError): BlobError {
  const full = FULL.includes(error.code)
  return new BlobError(
    full
      ? `The object store of the cluster is full (${error.message})`
      : `The object store refuses: ${error.message}`,
    full
      ? {
          code: 'DICOMP_E_STORE_FULL',
          fix: 'free disk space on the server, or raise the limit of the store',
          cause: error,
        }
      : { fix: 'see the log of the nats-server', cause: error },
  )
}
