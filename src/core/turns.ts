/** Whose turn it is: which job's chunk leaves next, and how large it is. */
import type { LedgerJob, LedgerJobSpec, LedgerSettings } from './ledger-state.ts'
import { ahead, type Demand, isTail, remoteChunkSize, windowOf } from './window.ts'

export class Turns {
  readonly #settings: LedgerSettings
  readonly #demands = new Map<string, Demand>()
  /** Jobs with a backlog. */
  readonly #waiting = new Set<LedgerJob>()
  #turn = 0

  constructor(settings: LedgerSettings) {
    this.#settings = settings
  }

  /** It has a backlog. */
  add(job: LedgerJob): void {
    this.#waiting.add(job)
  }

  /** It is over. */
  delete(job: LedgerJob): void {
    this.#waiting.delete(job)
  }

  demand(need: string): Demand {
    let demand = this.#demands.get(need)
    if (!demand) this.#demands.set(need, (demand = { slots: 0, free: 0, team: 1, inFlight: new Map() }))
    return demand
  }

  /** So many more of its chunks are on their way or run. */
  count({ spec: { need, priority } }: LedgerJob, change: 1 | -1): void {
    const { inFlight } = this.demand(need)
    const count = (inFlight.get(priority) ?? 0) + change
    if (count > 0) inFlight.set(priority, count)
    else inFlight.delete(priority)
  }

  /** The job whose chunk leaves now, if any may. */
  next(): LedgerJob | undefined {
    let best: LedgerJob | undefined
    for (const job of this.#waiting) {
      if (job.backlog.length === 0) this.#waiting.delete(job)
      else if (this.#mayLeave(job) && (!best || goesBefore(job, best))) best = job
    }
    if (best) best.served = ++this.#turn
    return best
  }

  /** Most tasks of its next chunk. */
  most(job: LedgerJob): number {
    const { spec, pace, backlog } = job
    if (isSolo(job)) return 1
    return remoteChunkSize(pace, backlog.length, this.demand(spec.need), spec.cap, this.#settings)
  }

  /** Whether its nodes have so little to get of it that their slots had better share each chunk. */
  isTail({ spec, pace, backlog }: LedgerJob): boolean {
    return isTail(pace, backlog.length, this.demand(spec.need), this.#settings)
  }

  #mayLeave(job: LedgerJob): boolean {
    const { spec, pace, chunks } = job
    if (!job.ready || chunks.size >= spec.concurrency) return false
    const demand = this.demand(spec.need)
    if (demand.slots === 0) return false
    // Until its size is known only one chunk is prepared, and only two at a time that have to be stored.
    const large = pace.bytesPerTask > this.#settings.inlineBytes
    if (job.preparing >= (pace.bytesPerTask === 0 ? 1 : large ? 2 : Infinity)) return false
    const window = windowOf(pace, job.backlog.length, demand, spec.cap, this.#settings)
    if (ahead(demand, spec.priority) < window) return true
    // A job that came later gets its share although the others have filled the window.
    return chunks.size < Math.max(1, Math.floor(window / this.#rivals(spec)))
  }

  /** Jobs that want the same slots with the same priority. */
  #rivals({ need, priority }: LedgerJobSpec): number {
    let count = 0
    for (const { spec } of this.#waiting) if (spec.need === need && spec.priority === priority) count++
    return Math.max(1, count)
  }
}

/** Each has a time limit of its own, or they are counted. */
export const isSolo = ({ spec }: LedgerJob): boolean => spec.solo || spec.concurrency !== Infinity

function goesBefore(a: LedgerJob, b: LedgerJob): boolean {
  if (a.spec.priority !== b.spec.priority) return a.spec.priority > b.spec.priority
  if (a.chunks.size !== b.chunks.size) return a.chunks.size < b.chunks.size
  return a.served < b.served
}
