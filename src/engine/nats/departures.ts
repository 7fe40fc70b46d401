/** Chunks on their way out: made, stored where they are large, published, kept until somebody has them. */
import type { LedgerChunk, LedgerEvent } from '../../core/ledger-state.ts'
import { BlobError, DicompError } from '../../errors.ts'
import type { Connection } from '../../nats/connection.ts'
import { type BlobRef, type Confirmation, type Need, writeMessage } from '../../nats/messages.ts'
import { SHORT_CHUNK_MS } from '../../nats/settings.ts'
import { inboxOf, levelOf, subjects } from '../../nats/subjects.ts'
import type { RemoteJob } from './job.ts'
import type { Litter } from './litter.ts'
import type { Parcel, Parcels } from './parcels.ts'

/** When something could not be stored, it is tried again after this long. */
const AGAIN_MS = 1000

/** What the engine does for its departures. */
export interface DepartureHost {
  connection: Connection
  parcels: Parcels
  litter: Litter
  /** A job that is not over. */
  job(key: number): RemoteJob | undefined
  handle(event: LedgerEvent): void
  /** Changes the number of open tasks. */
  count(job: RemoteJob, change: number): void
  publish(subject: string, bytes: Uint8Array, reply?: string): void
  /** A node with these abilities that idles; from now on the chunk counts as its work. */
  nodeWithRoom(need: Need, chunk: number, short: boolean): string | undefined
  /** What is to be confirmed to a node, and may be said by the way. */
  confirmations(node: string): Confirmation[]
}

export class Departures {
  /** Why something could not be stored lately. */
  trouble: string | undefined
  readonly #host: DepartureHost
  /** Number of the chunk that was made last. */
  #newest = 0
  /** Chunks that may have to be published again. */
  readonly #parcels = new Map<number, Parcel>()
  readonly #payloads = new Map<number, BlobRef>()
  /** Of these, the ones that are not in the queue but were sent to a node, which has not said yet that it has them. */
  readonly #direct = new Set<number>()

  constructor(host: DepartureHost) {
    this.#host = host
  }

  /** Somebody has the chunk: what it says is not needed any more. */
  taken(chunk: LedgerChunk): void {
    this.#parcels.delete(chunk.id)
    this.#direct.delete(chunk.id)
  }

  /** The chunk is over: nothing of it is needed any more. */
  closed({ id }: LedgerChunk): void {
    const blob = this.#payloads.get(id)
    if (blob) this.#host.litter.release(blob)
    this.#payloads.delete(id)
    this.#parcels.delete(id)
    this.#direct.delete(id)
  }

  /** Stores what nodes need to run the job; until that is done, nothing of it leaves. */
  async describe(job: RemoteJob): Promise<void> {
    job.storing = true
    while (this.#host.job(job.key) === job) {
      try {
        job.frame = await this.#host.parcels.spec(job.spec)
        this.trouble = undefined
        job.storing = false
        job.knownBy.clear()
        job.storedAfter = this.#newest
        return this.#host.handle({ type: 'ready', job: job.key })
      } catch (error) {
        if (!isPassing(error)) return this.#fail(job, error as Error)
        this.trouble = firstLine(error)
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
      }
    }
  }

  /** None of its tasks can run. */
  #fail(job: RemoteJob, error: Error): void {
    if (!this.#host.job(job.key)) return
    job.failure = error
    this.#host.count(job, -job.open)
    this.#host.handle({ type: 'forget', job: job.key })
    job.client.lost(0, Infinity, error)
  }

  /** Makes the message of a chunk and publishes it, at once where nothing has to be stored. */
  prepare(chunk: LedgerChunk): void {
    this.#newest = Math.max(this.#newest, chunk.id)
    const job = this.#host.job(chunk.job.spec.id)
    if (!job?.frame || chunk.state !== 'preparing') return
    const { payload, skip, count } = job.leftovers.take(job.client, chunk.start, chunk.count)
    // User code ran: it may have cancelled the job.
    if ((chunk.state as LedgerChunk['state']) !== 'preparing') return
    if (count < chunk.count) this.#host.handle({ type: 'cut', chunk: chunk.id, count })
    let parcel: ReturnType<Parcels['pack']>
    try {
      parcel = this.#host.parcels.pack(chunk, job.frame, payload, skip, this.#host.connection.maxPayload)
    } catch (error) {
      return this.#refuse(job, chunk, error as Error)
    }
    if (parcel instanceof Promise) {
      parcel.then(
        (stored) => this.#sent(job, chunk, stored),
        (error) => this.#notStored(job, chunk, error),
      )
    } else if ('task' in parcel) {
      this.#sent(job, chunk, parcel)
    } else if (parcel.fits === 0 || payload.kind !== 'any') {
      this.#refuse(job, chunk, parcel.error)
    } else {
      job.leftovers.keep(chunk.start, payload, skip)
      this.#host.handle({ type: 'cut', chunk: chunk.id, count: parcel.fits })
      this.prepare(chunk)
    }
  }

  #sent(job: RemoteJob, chunk: LedgerChunk, parcel: Parcel): void {
    const { bytes, blob } = parcel
    if (chunk.state !== 'preparing') {
      if (blob) this.#host.litter.release(blob)
      return
    }
    this.trouble = undefined
    this.#parcels.set(chunk.id, parcel)
    if (blob) this.#payloads.set(chunk.id, blob)
    const node = this.#sendDirect(job, chunk, parcel)
    if (node === undefined) this.publish(chunk)
    const own = blob ? (job.frame?.length ?? 0) : bytes
    this.#host.handle({ type: 'sent', chunk: chunk.id, bytes: own, node })
  }

  /**
   * Sends the chunk to a node that has room for it: through the queue it takes twice as long and three messages more. Only where
   * nothing of ours waits in the queue; what waits there comes first.
   * @returns that node
   */
  #sendDirect(job: RemoteJob, chunk: LedgerChunk, { task }: Parcel): string | undefined {
    if (this.#parcels.size - 1 > this.#direct.size) return undefined
    const ms = (chunk.job.pace.msPerTask ?? Infinity) * chunk.count
    const node = this.#host.nodeWithRoom(job.need, chunk.id, ms <= SHORT_CHUNK_MS)
    if (node === undefined) return undefined
    const { pool, identity } = this.#host.connection
    this.#direct.add(chunk.id)
    const got = this.#host.confirmations(node)
    const message = writeMessage({
      ...task,
      ...(!job.knownBy.has(node) && { spec: job.frame }),
      ...(got.length > 0 && { got }),
    })
    this.#host.publish(subjects.direct(pool, node, identity), message)
    return node
  }

  #notStored(job: RemoteJob, chunk: LedgerChunk, error: Error): void {
    if (chunk.state !== 'preparing') return
    if (!isPassing(error)) return this.#refuse(job, chunk, error)
    this.trouble = firstLine(error)
    this.#host.handle({ type: 'unprepared', chunk: chunk.id })
    const again = (): void => this.#host.handle({ type: 'ready', job: job.key })
    setTimeout(again, AGAIN_MS).unref()
  }

  /** The tasks of a chunk cannot leave. */
  #refuse(job: RemoteJob, chunk: LedgerChunk, error: Error): void {
    for (const [start, end] of [...chunk.open]) {
      this.#host.count(job, start - end)
      this.#host.handle({ type: 'drop', job: job.key, start, end })
      job.client.lost(start, end - start, error)
    }
  }

  /** Publishes a chunk in the queue, again if need be. */
  publish(chunk: LedgerChunk): void {
    this.#direct.delete(chunk.id)
    const parcel = this.#parcels.get(chunk.id)
    const job = this.#host.job(chunk.job.spec.id)
    if (!parcel || !job) return
    const { pool, identity } = this.#host.connection
    const subject = subjects.task(pool, levelOf(job.spec.priority), job.needKey, identity)
    const message = writeMessage({ ...parcel.task, spec: job.frame })
    this.#host.publish(subject, message, `${inboxOf(identity)}.ack.${chunk.id}`)
  }
}

/** The store is away or full, which may change. What is too large, or not allowed, stays so. */
function isPassing(error: unknown): boolean {
  if (error instanceof BlobError)
    return error.code === 'DICOMP_E_STORE_FULL' || error.code === 'DICOMP_E_BLOB'
  return !(error instanceof DicompError) && (error as NodeJS.ErrnoException).code !== 'ENOENT'
}

const firstLine = (error: unknown): string => (error as Error).message.split('\n')[0] as string
