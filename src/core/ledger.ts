/**
 * The decisions of a cluster's client, as a reactor: an event goes in, actions come out, nothing else happens. It
 * knows every task without a result; everything else in the cluster may be lost, repeated or late. See README.md.
 *
 * Each open task is in exactly one place, the backlog of its job or one chunk, and each chunk has at most one holder.
 * Whoever reports a result, the first one counts.
 */
import { Backlog, type Span } from './backlog.ts'
import { learn, newPace } from './chunk-size.ts'
import {
  isPresumed,
  type LedgerAction,
  type LedgerChunk,
  type LedgerEvent,
  type LedgerJob,
  type LedgerJobSpec,
  type LedgerSettings,
  newChunk,
  type Report,
} from './ledger-state.ts'
import { cutOut, gapsOf, type Pair, sizeOf } from './pairs.ts'
import { isSolo, Turns } from './turns.ts'

/** A chunk that the queue has, and that no idle node takes for this long, is published again. */
const UNTAKEN_MS = 3000
/** The same while no slot idles. */
const DOUBT_MS = 30_000
/** The first pause after the queue refused a chunk, and the longest. */
const REFUSED_MS = 100
const REFUSED_MAX_MS = 2000
/** Heartbeats in a row without a chunk after which its node does not have it. */
const MISSED = 2
/** A chunk that was sent straight to a node may be on its way for this long, milliseconds: those before do not count. */
const ARRIVAL_MS = 1000
/** Ticks are a quarter of a second apart. When the last one was longer ago, this program was stopped or busy: what it hears is old. */
const AWAY_MS = 1000
/** Tasks whose nodes were lost this often travel alone, and are given up after so many. */
const LOSSES_TOGETHER = 3
const LOSSES = 10
/** A chunk is shared with idle slots when it takes this much longer than it should, milliseconds and times. */
const LATE_MS = 150
const LATE_FACTOR = 2
/** So is one that has more work left, milliseconds: it was made when nobody knew how long its tasks take. */
const TOO_LONG_MS = 1000
/** Most bytes of messages that nobody has taken. */
const UNTAKEN_BYTES = 64 << 20

export class Ledger {
  readonly #settings: LedgerSettings
  readonly #jobs = new Map<number, LedgerJob>()
  readonly #chunks = new Map<number, LedgerChunk>()
  /** Chunks that were published and that nobody holds. */
  readonly #loose = new Set<LedgerChunk>()
  readonly #held = new Map<string, Set<LedgerChunk>>()
  readonly #turns: Turns
  #looseBytes = 0
  #connected = true
  #nextChunk = 1
  #now = 0
  #tickedAt: number | undefined
  /** The last tick was late. */
  #wasLate = false
  #out: LedgerAction[] = []

  constructor(settings: LedgerSettings) {
    this.#settings = settings
    this.#turns = new Turns(settings)
  }

  /** @param now milliseconds of any steady clock */
  handle(event: LedgerEvent, now: number): LedgerAction[] {
    this.#now = now
    this.#out = []
    this.#react(event)
    if (this.#connected) this.#dispatch()
    return this.#out
  }

  /** @param slotsOf slots of a node; it may hold more chunks than that to begin them without delay */
  snapshot(
    id: number,
    slotsOf: (node: string) => number,
  ): { queued: number; running: number; slots: number } {
    const job = this.#jobs.get(id)
    if (!job) return { queued: 0, running: 0, slots: 0 }
    let open = job.backlog.length
    let running = 0
    let slots = 0
    const busy = new Map<string, number>()
    for (const chunk of job.chunks) {
      const tasks = openTasks(chunk)
      open += tasks
      if (chunk.node === undefined) continue
      const before = busy.get(chunk.node) ?? 0
      if (before >= slotsOf(chunk.node)) continue
      busy.set(chunk.node, before + 1)
      running += tasks
      slots++
    }
    return { queued: open - running, running, slots }
  }

  /** Whether this node is the one whose reports of a task count, as far as anybody knows. */
  runs(node: string, chunk: number, index: number): boolean {
    const known = this.#chunks.get(chunk)
    return known?.node === node && known.open.some(([start, end]) => start <= index && index < end)
  }

  /** Whether any of these tasks has no result. */
  isOpen(id: number, start: number, count: number): boolean {
    const job = this.#jobs.get(id)
    if (!job) return false
    const end = start + count
    if (job.backlog.touches(start, end)) return true
    for (const { open } of job.chunks) if (open.some(([from, to]) => from < end && start < to)) return true
    return false
  }

  /** What waits for nodes, by need: for people. */
  outlook(): Map<string, { waiting: number; held: number; refused: boolean }> {
    const needs = new Map<string, { waiting: number; held: number; refused: boolean }>()
    for (const { spec, backlog, chunks } of this.#jobs.values()) {
      if (backlog.length === 0 && chunks.size === 0) continue
      const sum = needs.get(spec.need) ?? { waiting: 0, held: 0, refused: false }
      sum.waiting += backlog.length
      for (const chunk of chunks) {
        if (chunk.state === 'held') sum.held++
        else sum.waiting += openTasks(chunk)
        if (chunk.state === 'sent' && chunk.tries > 1) sum.refused = true
      }
      needs.set(spec.need, sum)
    }
    return needs
  }

  /** Chunks that are on their way or run. */
  get inFlight(): number {
    return this.#chunks.size
  }

  #react(event: LedgerEvent): void {
    switch (event.type) {
      case 'job':
        return this.#onJob(event.spec)
      case 'ready':
      case 'unready': {
        const job = this.#jobs.get(event.job)
        if (job) job.ready = event.type === 'ready'
        return
      }
      case 'tasks':
        return this.#onTasks(event)
      case 'drop':
        return this.#onDrop(event.job, event.start, event.end)
      case 'forget':
        return this.#onForget(event.job)
      case 'capacity': {
        const demand = this.#turns.demand(event.need)
        demand.slots = event.slots
        demand.free = event.free
        demand.team = event.team
        return
      }
      case 'sent':
        return this.#onSent(event.chunk, event.bytes, event.node)
      case 'cut':
        return this.#onCut(event.chunk, event.count)
      case 'unprepared': {
        const chunk = this.#chunks.get(event.chunk)
        if (chunk?.state !== 'preparing') return
        chunk.job.ready = false
        return this.#putBack(chunk, 0)
      }
      case 'acked': {
        const chunk = this.#chunks.get(event.chunk)
        if (chunk?.state === 'sent') this.#queued(chunk)
        return
      }
      case 'returned': {
        const chunk = this.#chunks.get(event.chunk)
        if (chunk && isPresumed(chunk) && chunk.node === event.node) this.#notHeld(chunk)
        return
      }
      case 'refused': {
        const chunk = this.#chunks.get(event.chunk)
        if (chunk?.state === 'sent') {
          chunk.again = this.#now + Math.min(REFUSED_MS * 2 ** chunk.tries, REFUSED_MAX_MS)
        }
        return
      }
      case 'held':
        for (const [job, chunk] of event.chunks) this.#onHeld(event.node, job, chunk)
        return
      case 'report':
        return this.#onReport(event)
      case 'holds':
        return this.#onHolds(event.node, event.chunks)
      case 'nodeLost':
        return this.#onNodeLost(event.node)
      case 'disconnected':
        this.#connected = false
        return
      case 'reconnected':
        this.#connected = true
        for (const chunk of this.#loose) {
          if (event.fresh || chunk.state === 'sent') this.#republish(chunk)
        }
        return
      case 'tick':
        return this.#onTick()
    }
  }

  // ---- the owner of the jobs --------------------------------------------------------------------------

  #onJob(spec: LedgerJobSpec): void {
    this.#jobs.set(spec.id, {
      spec,
      ready: false,
      backlog: new Backlog(),
      pace: newPace(),
      chunks: new Set(),
      preparing: 0,
      nodes: new Set(),
      served: 0,
    })
  }

  #onTasks({ job: id, start, end, attempt }: Extract<LedgerEvent, { type: 'tasks' }>): void {
    const job = this.#jobs.get(id)
    if (!job) return
    // Late results of the execution that failed must not count for the next one. Nothing of a first one is late.
    const since = attempt === 1 ? 0 : this.#nextChunk
    if (job.chunks.size === 0 && job.backlog.length === 0) job.pace.isOld = true
    job.backlog.push({ start, end, attempt, solo: isSolo(job), losses: 0, since })
    if (job.backlog.length > 0) this.#turns.add(job)
  }

  #onDrop(id: number, start: number, end: number): void {
    const job = this.#jobs.get(id)
    if (!job) return
    job.backlog.remove(start, end)
    for (const chunk of job.chunks) this.#abandon(chunk, start, end)
  }

  #onForget(id: number): void {
    const job = this.#jobs.get(id)
    if (!job) return
    for (const chunk of [...job.chunks]) {
      if (chunk.node !== undefined)
        this.#out.push({ type: 'drop', node: chunk.node, job: id, chunk: chunk.id })
      this.#close(chunk)
    }
    for (const node of job.nodes) this.#out.push({ type: 'forget', node, job: id })
    this.#jobs.delete(id)
    this.#turns.delete(job)
  }

  // ---- the queue --------------------------------------------------------------------------------------

  /** @param node to which it was sent: it is taken to hold it until it shows that it does not */
  #onSent(id: number, bytes: number, node: string | undefined): void {
    const chunk = this.#chunks.get(id)
    if (chunk?.state !== 'preparing') return
    const { job } = chunk
    const perTask = bytes / chunk.count
    job.preparing--
    job.pace.bytesPerTask = Math.max(perTask, job.pace.bytesPerTask * 0.5)
    chunk.bytes = bytes
    if (node !== undefined) return this.#presume(chunk, node)
    chunk.state = 'sent'
    chunk.at = this.#now
    chunk.again = this.#now + this.#settings.pubAckMs
    this.#loosen(chunk)
  }

  #onCut(id: number, count: number): void {
    const chunk = this.#chunks.get(id)
    if (chunk?.state !== 'preparing' || count >= chunk.count) return
    const from = chunk.start + count
    for (const [start, end] of cutOut(chunk.open, from, chunk.start + chunk.count).reverse()) {
      this.#requeue(chunk, start, end, chunk.attempt)
    }
    chunk.count = count
    chunk.job.pace.largest = count
  }

  #queued(chunk: LedgerChunk): void {
    chunk.state = 'queued'
    chunk.again = this.#now + UNTAKEN_MS * 2 ** Math.min(chunk.tries, 3)
  }

  #republish(chunk: LedgerChunk): void {
    chunk.state = 'sent'
    chunk.tries++
    chunk.again = this.#now + this.#settings.pubAckMs * Math.min(2 ** chunk.tries, 4)
    this.#out.push({ type: 'republish', chunk })
  }

  // ---- the nodes --------------------------------------------------------------------------------------

  #onHeld(node: string, job: number, id: number): void {
    const chunk = this.#chunks.get(id)
    if (!chunk || chunk.job.spec.id !== job || (chunk.node !== undefined && chunk.node !== node)) {
      this.#out.push({ type: 'drop', node, job, chunk: id })
    } else {
      this.#hold(chunk, node)
    }
  }

  /** Its node has said that it has it. */
  #hold(chunk: LedgerChunk, node: string): void {
    if (chunk.state === 'preparing' || chunk.sure) return
    if (chunk.node === undefined) this.#presume(chunk, node)
    chunk.sure = true
    this.#out.push({ type: 'taken', chunk })
  }

  /** It is taken to be there. */
  #presume(chunk: LedgerChunk, node: string): void {
    this.#unloose(chunk)
    chunk.state = 'held'
    chunk.node = node
    chunk.at = this.#now
    chunk.missed = 0
    chunk.reports.clear()
    chunk.lastReport = undefined
    chunk.job.nodes.add(node)
    const held = this.#held.get(node)
    if (held) held.add(chunk)
    else this.#held.set(node, new Set([chunk]))
    // What was settled or dropped since it was published need not run.
    let from = chunk.start
    for (const [start, end] of [...chunk.open, [chunk.start + chunk.count, 0] as const]) {
      if (from < start) this.#dropTasks(chunk, from, start)
      from = end
    }
  }

  /** The node to which it was sent has no room for it, or it was lost on the way: now through the queue. */
  #notHeld(chunk: LedgerChunk): void {
    this.#held.get(chunk.node as string)?.delete(chunk)
    chunk.node = undefined
    this.#loosen(chunk)
    this.#republish(chunk)
  }

  #onReport(report: Report): void {
    const { node, start, count, seq } = report
    const job = this.#jobs.get(report.job)
    const chunk = this.#chunks.get(report.chunk)
    const own = chunk !== undefined && chunk.job === job && (chunk.node ?? node) === node
    if (own) this.#hold(chunk, node)
    if (own && chunk.reports.has(seq)) return
    // Another one has it, or nobody should: what it still does is in vain.
    if (!own && !report.last) this.#out.push({ type: 'drop', node, job: report.job, chunk: report.chunk })
    if (!job || count > Math.max(job.spec.cap, 1)) return
    const fresh = own ? cutOut(chunk.open, start, start + count) : []
    if (own) {
      if (report.ms !== undefined) learn(job.pace, count, report.ms)
      if (count > 0 && report.bytes > 0) {
        job.pace.bytesPerTask = Math.max(job.pace.bytesPerTask, report.bytes / count)
      }
      chunk.reports.add(seq)
      if (report.last) chunk.lastReport = seq
    }
    if (sizeOf(fresh) < count) fresh.push(...this.#settleElsewhere(job, start, start + count, report.chunk))
    const settled = sizeOf(fresh)
    if (settled > 0) {
      const ignore = settled === count ? [] : gapsOf(fresh, start, count)
      this.#out.push({ type: 'deliver', job: job.spec.id, start, count, ignore })
    }
    if (!own) return
    // The numbers before the last one may still be on their way.
    const ended = chunk.lastReport !== undefined && chunk.reports.size > chunk.lastReport
    if (ended) this.#putBack(chunk, 0)
  }

  /** A result of a chunk that was lost, or is held by somebody else: its tasks may be anywhere now. */
  #settleElsewhere(job: LedgerJob, start: number, end: number, from: number): Pair[] {
    const fresh = job.backlog.remove(start, end, from).map((span): Pair => [span.start, span.end])
    for (const chunk of job.chunks) {
      if (chunk.since <= from) fresh.push(...this.#abandon(chunk, start, end))
    }
    return fresh
  }

  #onHolds(node: string, chunks: readonly (readonly [number, number])[]): void {
    const listed = new Set<number>()
    for (const [job, chunk] of chunks) {
      listed.add(chunk)
      this.#onHeld(node, job, chunk)
    }
    for (const chunk of this.#held.get(node) ?? []) {
      if (isPresumed(chunk) && (this.#isAway || this.#now - chunk.at < ARRIVAL_MS)) continue
      chunk.missed = listed.has(chunk.id) ? 0 : chunk.missed + 1
      if (chunk.missed < MISSED) continue
      if (chunk.sure) this.#putBack(chunk, 1)
      else this.#notHeld(chunk)
    }
  }

  #onNodeLost(node: string): void {
    const chunks = [...(this.#held.get(node) ?? [])]
    for (const chunk of chunks.reverse()) this.#putBack(chunk, 1)
    this.#held.delete(node)
    for (const job of this.#jobs.values()) job.nodes.delete(node)
    // It may have taken others, and died before it could say so.
    for (const chunk of this.#loose) chunk.doubt = true
  }

  get #isLate(): boolean {
    return this.#tickedAt !== undefined && this.#now - this.#tickedAt > AWAY_MS
  }

  /** Once only: of a program that computes all the time, nothing would ever be published again. */
  get #isAway(): boolean {
    return this.#isLate && !this.#wasLate
  }

  #onTick(): void {
    const away = this.#isAway
    this.#wasLate = this.#isLate
    this.#tickedAt = this.#now
    // What came meanwhile is still to be read.
    if (away) {
      for (const chunks of this.#held.values())
        for (const chunk of chunks) if (!chunk.sure) chunk.at = this.#now
      return
    }
    for (const chunk of this.#loose) {
      if (!this.#connected || this.#now < chunk.again) continue
      const busy = chunk.state === 'queued' && this.#turns.demand(chunk.job.spec.need).free === 0
      // Slots that never idle are no proof that it is still in the queue.
      if (busy && !chunk.doubt && this.#now < chunk.again + DOUBT_MS) continue
      chunk.doubt = false
      this.#republish(chunk)
    }
    this.#shareLate()
  }

  /** Slots idle, and nothing waits: chunks that take too long give away the half that they have hardly begun. */
  #shareLate(): void {
    const spent = new Map<string, number>()
    for (const chunks of this.#held.values()) {
      for (const chunk of chunks) {
        const { job } = chunk
        const { need } = job.spec
        const free = this.#turns.demand(need).free - (spent.get(need) ?? 0)
        const left = openTasks(chunk)
        const msPerTask = job.pace.msPerTask ?? 0
        const isTooLong = msPerTask * left > TOO_LONG_MS
        const due = LATE_MS + (isTooLong ? 0 : LATE_FACTOR * msPerTask * chunk.count)
        if (free <= 0 || left < 2 || job.backlog.length > 0 || this.#now - chunk.at < due) continue
        spent.set(need, (spent.get(need) ?? 0) + 1)
        chunk.at = this.#now
        this.#giveAway(chunk, Math.floor(left / 2))
      }
    }
  }

  #giveAway(chunk: LedgerChunk, count: number): void {
    for (let left = count; left > 0; ) {
      const [start, end] = chunk.open[chunk.open.length - 1] as Pair
      const from = Math.max(start, end - left)
      cutOut(chunk.open, from, end)
      this.#dropTasks(chunk, from, end)
      this.#requeue(chunk, from, end, chunk.attempt + 1)
      left -= end - from
    }
  }

  // ---- chunks -----------------------------------------------------------------------------------------

  /** Nobody wants these tasks from this chunk. Returns those that it had open. */
  #abandon(chunk: LedgerChunk, start: number, end: number): Pair[] {
    const removed = cutOut(chunk.open, start, end)
    if (removed.length === 0) return removed
    if (chunk.open.length > 0) {
      for (const [from, to] of removed) this.#dropTasks(chunk, from, to)
    } else {
      const { node, job, id } = chunk
      if (node !== undefined) this.#out.push({ type: 'drop', node, job: job.spec.id, chunk: id })
      this.#close(chunk)
    }
    return removed
  }

  #dropTasks({ node, job, id }: LedgerChunk, start: number, end: number): void {
    if (node !== undefined)
      this.#out.push({ type: 'dropTasks', node, job: job.spec.id, chunk: id, start, end })
  }

  /** Ends a chunk; its open tasks go back in front. `lost`: their node may have begun them. */
  #putBack(chunk: LedgerChunk, lost: 0 | 1): void {
    this.#close(chunk)
    const losses = chunk.losses + lost
    for (const [start, end] of [...chunk.open].reverse()) {
      if (losses < LOSSES) this.#requeue(chunk, start, end, chunk.attempt + lost, losses)
      else
        for (let index = start; index < end; index++)
          this.#out.push({ type: 'giveUp', job: chunk.job.spec.id, index, losses })
    }
  }

  #requeue(chunk: LedgerChunk, start: number, end: number, attempt: number, losses = chunk.losses): void {
    const { job, since } = chunk
    const solo = isSolo(job) || losses >= LOSSES_TOGETHER
    const span: Span = { start, end, attempt, solo, losses, since }
    job.backlog.unshift(span)
    this.#turns.add(job)
  }

  #close(chunk: LedgerChunk): void {
    const { job } = chunk
    if (chunk.state === 'preparing') job.preparing--
    this.#unloose(chunk)
    if (chunk.node !== undefined) this.#held.get(chunk.node)?.delete(chunk)
    this.#chunks.delete(chunk.id)
    job.chunks.delete(chunk)
    this.#turns.count(job, -1)
    chunk.state = 'over'
    this.#out.push({ type: 'closed', chunk })
  }

  #loosen(chunk: LedgerChunk): void {
    this.#loose.add(chunk)
    this.#looseBytes += chunk.bytes
  }

  #unloose(chunk: LedgerChunk): void {
    if (this.#loose.delete(chunk)) this.#looseBytes -= chunk.bytes
  }

  // ---- what leaves next -------------------------------------------------------------------------------

  #dispatch(): void {
    // Messages that nobody takes must not fill the memory.
    while (this.#looseBytes <= UNTAKEN_BYTES || this.#loose.size === 0) {
      const job = this.#turns.next()
      if (!job) return
      this.#publish(job)
    }
  }

  #publish(job: LedgerJob): void {
    const tail = this.#turns.isTail(job)
    const span = job.backlog.take(this.#turns.most(job)) as Span
    const chunk = newChunk(this.#nextChunk++, job, span, tail, this.#now)
    job.pace.largest = Math.max(job.pace.largest, chunk.count)
    job.preparing++
    job.chunks.add(chunk)
    this.#chunks.set(chunk.id, chunk)
    this.#turns.count(job, 1)
    this.#out.push({ type: 'publish', chunk })
  }
}

const openTasks = (chunk: LedgerChunk): number => sizeOf(chunk.open)
