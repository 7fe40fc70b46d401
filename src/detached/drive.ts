/**
 * One detached job as its driver has it: what the user's process is for other jobs. Arguments come from the store,
 * outcomes go there, and which tasks have one is read back from there by whoever goes on with the job. Values pass
 * through unread.
 */
import { getCode, putCode } from '../capture/cache.ts'
import { encode, encodeList, fromFrame, toFrame } from '../codec/index.ts'
import { retryDelay } from '../core/retry.ts'
import type { Arguments, EngineJob, JobClient, TaskSpec } from '../engine/engine.ts'
import type { NatsEngine } from '../engine/nats/engine.ts'
import { reason } from '../engine/nats/waiting.ts'
import { Pieces } from '../engine/pieces.ts'
import { ClosedError, DeadlineError, DicompError } from '../errors.ts'
import { detached } from '../nats/detached.ts'
import { describeLink } from '../nats/link.ts'
import { payloadFrame, readPayload } from '../nats/messages.ts'
import type { Delivery } from '../slot/protocol.ts'
import { Keeper } from './keeper.ts'
import { LogWriter } from './log.ts'
import {
  isOver,
  type JobRecord,
  type OverState,
  type Page,
  readOutcomes,
  type Status,
  write,
} from './record.ts'
import { Settled } from './settled.ts'
import type { Store } from './store.ts'
import { Fenced, FencedError, StoreError, scan } from './stream.ts'
import { type Draft, OutcomeWriter } from './writer.ts'

/** Arguments that are loaded, and outcomes that wait to be stored: no more is taken on beyond that. */
const LOADED_BYTES = 32 << 20
const WAITING_BYTES = 64 << 20
/** Tasks that may be open, for each slot: so many however large their arguments are, and so many at most. */
const LEAST_PER_SLOT = 4
const MOST_PER_SLOT = 10_000
const STATUS_MS = 400
const TAKE_OVERS = 10
const PAUSE_MS = 100
/** The cache names code by the first characters of its hash. */
const NAME_LENGTH = 32

/** How it ended here. `left`: another driver has it; `removed`: nobody has to go on. */
export type DriveEnd = 'over' | 'left' | 'removed' | 'stopped'

export interface DriveOptions {
  store: Store
  engine: NatsEngine
  /** Unique in this process. */
  program: number
  /** Its status is stored at least this often, milliseconds, so that others see that somebody has it. */
  signMs: number
}

export class Drive implements JobClient {
  readonly id: string
  readonly #store: Store
  readonly #engine: NatsEngine
  readonly #program: number
  readonly #signMs: number
  readonly #keeper: Keeper
  readonly #log: LogWriter
  readonly #pieces = new Pieces(false)
  readonly #failures = new Map<number, number>()
  readonly #pauses = new Set<NodeJS.Timeout>()
  #record!: JobRecord
  #settled!: Settled
  #writer!: OutcomeWriter
  #status!: Fenced
  #round = 0
  /** Executions begin with this number: those of a driver before count as one. */
  #attempt = 1
  #startedAt = Date.now()
  #job: EngineJob | undefined
  /** Tasks that were added and whose outcome is not stored, and the bytes of pages that are loaded. */
  #open = 0
  #loadedBytes = 0
  /** Tasks without an outcome of each loaded page, by its start. */
  readonly #left = new Map<number, number>()
  #page = 0
  #feeding = false
  #retries = 0
  /** Outcomes that wait to be stored. */
  readonly #pending = new Set<number>()
  #timer: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  #told = ''
  #toldAt = 0
  #telling: Promise<void> = Promise.resolve()
  #ending = false
  #end: (how: DriveEnd) => void = () => {}
  #fail: (error: unknown) => void = () => {}
  readonly #ended = new Promise<DriveEnd>((resolve, reject) => {
    this.#end = resolve
    this.#fail = reject
  })

  constructor(id: string, { store, engine, program, signMs }: DriveOptions) {
    this.id = id
    this.#store = store
    this.#engine = engine
    this.#program = program
    this.#signMs = signMs
    this.#keeper = new Keeper(store.connection, id)
    this.#log = new LogWriter(store.connection, id)
    this.#ended.catch(() => {})
  }

  /** Runs the job to its end, from where the last driver left it. Rejects with what makes it impossible for now. */
  async run(): Promise<DriveEnd> {
    try {
      const view = await this.#store.find(this.id)
      if (!view) return 'removed'
      if (isOver(view.state)) return 'over'
      this.#record = view.record
      await this.#takeOver()
      if (!(await this.#store.record(this.id))) return await this.#clear()
      if (view.want.cancel) await this.#finish('cancelled')
      else await this.#begin()
      return await this.#ended
    } catch (error) {
      if (error instanceof FencedError) return 'left'
      throw error
    } finally {
      this.#release()
    }
  }

  /** What users want may have changed. */
  async look(): Promise<void> {
    if (this.#ending || !this.#job) return
    const { value } = await this.#store.want(this.id)
    if (value.cancel && value.round <= this.#round) return this.#finish('cancelled')
    if ((await this.#store.record(this.id)) !== undefined || this.#ending) return
    await this.#leave()
  }

  /** Leaves it to another driver. */
  stop(): void {
    this.#ending = true
    this.#end('stopped')
  }

  // ---- beginning ----------------------------------------------------------------------------------------

  /** Reads what is settled, and locks out whoever drove the job before. */
  async #takeOver(): Promise<void> {
    const { connection } = this.#store
    const stream = this.#store.stream('R')
    const subject = detached.out(connection.pool, this.id)
    for (let attempt = 1; ; attempt++) {
      this.#round = (await this.#store.want(this.id)).value.round
      const status = await this.#store.status(this.id)
      this.#settled = new Settled(this.#record.total, this.#round)
      this.#attempt = 1
      let end = 0
      for await (const { data, sequence } of scan(connection, stream, subject)) {
        end = sequence
        const outcomes = readOutcomes(data)
        if (!outcomes) continue
        if (outcomes.entries.length === 0) this.#attempt++
        else this.#settled.take(outcomes, () => {})
      }
      const out = new Fenced(connection, stream, subject, end)
      const states = detached.state(connection.pool, this.id)
      this.#status = new Fenced(connection, this.#store.stream('J'), states, status.sequence)
      this.#startedAt = status.value?.startedAt ?? Date.now()
      this.#retries = status.value?.retries ?? 0
      try {
        await out.write(write({ round: this.#round, entries: [] }))
        this.#writer = new OutcomeWriter(out, this.#keeper, this.#round, {
          written: (drafts) => this.#written(drafts),
          ended: (error) => this.#stopped(error),
        })
        await this.#tell('running')
        return
      } catch (error) {
        if (!(error instanceof FencedError) || attempt >= TAKE_OVERS) throw error
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * attempt))
      }
    }
  }

  async #begin(): Promise<void> {
    const { spec, program, deadline, submittedAt } = this.#record
    if (deadline !== undefined && this.#round === 0) {
      const left = submittedAt + deadline - Date.now()
      const late = () => void this.#finish('failed', new DeadlineError(deadline))
      this.#deadline = setTimeout(late, Math.max(0, left))
    }
    const [file, env] = await Promise.all([this.#code(), this.#keeper.get(program.env)])
    if (this.#ending) return
    const natives = program.natives.map((native) => ({ ...native, path: '' }))
    const task: TaskSpec = {
      ...spec,
      id: this.id,
      program: { id: this.#program, name: program.name, file, natives, env: fromFrame(env) },
    }
    this.#job = this.#engine.submit(task, this)
    this.#timer = setInterval(
      () => void this.#tell('running').catch((error) => this.#stopped(error)),
      STATUS_MS,
    )
    await this.#feed()
    this.#finishIfDone()
    // It may have been cancelled before it could be told.
    await this.look()
  }

  async #code(): Promise<string> {
    const { code } = this.#record.program
    const known = getCode(code.hash.slice(0, NAME_LENGTH))
    return (known ?? putCode(await this.#keeper.get(code))).file
  }

  /** Loads arguments and adds their tasks, as far as there is room. */
  async #feed(): Promise<void> {
    if (this.#feeding) return
    this.#feeding = true
    try {
      for (; this.#page < this.#record.pages.length && this.#hasRoom(); this.#page++) await this.#load()
    } catch (error) {
      // A part of it is not there: none of the rest can run.
      if (error instanceof DicompError && error.code === 'DICOMP_E_BLOB') await this.#finish('failed', error)
      else this.#stopped(error as Error)
    } finally {
      this.#feeding = false
    }
  }

  #hasRoom(): boolean {
    if (this.#ending || this.#writer.bytes > WAITING_BYTES) return false
    const { slots } = this.#engine
    const most = this.#loadedBytes < LOADED_BYTES ? MOST_PER_SLOT : LEAST_PER_SLOT
    return this.#open < most * slots
  }

  async #load(): Promise<void> {
    const { start, count, kept } = this.#record.pages[this.#page] as Page
    const spans = [...this.#settled.open(start, start + count)]
    if (spans.length === 0) return
    const payload = readPayload(await this.#keeper.get(kept))
    if (this.#ending || !this.#job) return
    this.#loadedBytes += kept.size
    this.#left.set(
      start,
      spans.reduce((sum, [from, to]) => sum + to - from, 0),
    )
    this.#pieces.add(start, start + count, payload, [])
    let before = start
    for (const [from, to] of [...spans, [start + count, start + count] as const]) {
      if (from > before) this.#pieces.settled(before, from - before)
      before = to
    }
    for (const [from, to] of spans) {
      this.#open += to - from
      this.#job.add(from, to, this.#attempt)
    }
  }

  /** A task of a page has its outcome. */
  #unload(index: number): void {
    const page = this.#pageOf(index)
    const left = (this.#left.get(page.start) ?? 0) - 1
    if (left > 0) return void this.#left.set(page.start, left)
    if (this.#left.delete(page.start)) this.#loadedBytes -= page.kept.size
  }

  #pageOf(index: number): Page {
    const { pages } = this.#record
    let low = 0
    for (let high = pages.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1
      if ((pages[middle] as Page).start <= index) low = middle
      else high = middle - 1
    }
    return pages[low] as Page
  }

  // ---- what the engine asks and tells -------------------------------------------------------------------

  arguments(start: number, count: number): Arguments {
    return this.#pieces.arguments(start, count)
  }

  delivered({ start, count, attempt, failed, payload, slot, ignore = [] }: Delivery): void {
    if (this.#ending) return
    const ignored = new Set(ignore)
    for (let offset = 0; offset < count; offset++)
      if (!this.#settled.isOpen(start + offset) || this.#pending.has(start + offset)) ignored.add(offset)
    for (const offset of failed)
      if (!ignored.has(offset) && this.#again(start + offset, attempt)) ignored.add(offset)
    this.#keep({ start, count, attempt, failed, ignore: [...ignored], slot, frame: payloadFrame(payload) })
  }

  lost(start: number, count: number, error: Error, attempt?: number): void {
    if (this.#ending) return
    if (count === Infinity) {
      // The job itself cannot run; or it is the engine that has ended.
      if (error instanceof ClosedError || this.#store.connection.nc.isClosed()) return this.#stopped(error)
      return void this.#finish('failed', error)
    }
    const ignore: number[] = []
    for (let offset = 0; offset < count; offset++) {
      const index = start + offset
      const isSettled = !this.#settled.isOpen(index) || this.#pending.has(index)
      if (isSettled || (attempt !== undefined && this.#again(index, attempt))) ignore.push(offset)
    }
    const failed = Array.from({ length: count }, (_, offset) => offset)
    const { encoded } = encodeList(failed.map(() => error))
    const frame = payloadFrame({ kind: 'any', lists: [encoded] })
    this.#keep({ start, count, attempt: attempt ?? this.#attempt, failed, ignore, slot: '', frame })
  }

  retries(index: number): boolean {
    return this.#failures.has(index)
  }

  log(index: number, stream: 'stdout' | 'stderr', text: string): void {
    if (this.#record.logs) this.#log.add(index, stream, text)
  }

  /** Nobody is there to hear of it. */
  progressed(): void {}

  /** @returns whether the task, which has failed, is tried again */
  #again(index: number, attempt: number): boolean {
    const failures = (this.#failures.get(index) ?? 0) + 1
    const delay = retryDelay(this.#record.retry, failures, undefined)
    if (delay === undefined) return false
    this.#failures.set(index, failures)
    this.#retries++
    const pause = setTimeout(() => {
      this.#pauses.delete(pause)
      if (!this.#ending) this.#job?.add(index, index + 1, attempt + 1)
    }, delay)
    this.#pauses.add(pause)
    return true
  }

  #keep(draft: Draft): void {
    if (draft.ignore.length === draft.count) return
    for (const index of indexes(draft)) this.#pending.add(index)
    this.#writer.add(draft)
  }

  #written(drafts: Draft[]): void {
    for (const draft of drafts) {
      const bad = new Set(draft.failed)
      for (const index of indexes(draft)) {
        this.#pending.delete(index)
        this.#failures.delete(index)
        this.#settled.settle(index, bad.has(index - draft.start))
        this.#open--
        this.#pieces.settled(index, 1)
        this.#unload(index)
      }
    }
    void this.#feed().then(() => this.#finishIfDone())
  }

  // ---- ending -------------------------------------------------------------------------------------------

  #finishIfDone(): void {
    const { done, failed } = this.#settled
    if (done + failed === this.#record.total) void this.#finish(failed > 0 ? 'failed' : 'done')
  }

  /** @param error why the job ended early */
  async #finish(state: OverState, error?: Error): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    this.#release()
    try {
      await this.#log.flush()
      await this.#telling
      await this.#tell(state, error)
      this.#end('over')
    } catch (problem) {
      if (problem instanceof FencedError) await this.#leave()
      else this.#fail(problem)
    }
  }

  #stopped(error: Error): void {
    if (error instanceof FencedError) return void this.#leave()
    this.#ending = true
    this.#fail(error)
  }

  /** Somebody else has it, or it was removed. */
  async #leave(): Promise<void> {
    this.#ending = true
    this.#release()
    try {
      await this.#log.flush()
      this.#end((await this.#store.record(this.id)) ? 'left' : await this.#clear())
    } catch (error) {
      this.#fail(error)
    }
  }

  /** It was removed: what was written meanwhile is removed, too. */
  async #clear(): Promise<DriveEnd> {
    await this.#writer.stop()
    await this.#store.purge(this.id)
    return 'removed'
  }

  #release(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#deadline)
    for (const pause of this.#pauses) clearTimeout(pause)
    this.#pauses.clear()
    void this.#writer?.stop()
    this.#job?.cancel()
    this.#job = undefined
  }

  /** Stores how it is, where that has changed or was told long ago. Without room the last state stays. */
  async #tell(state: Status['state'], error?: Error): Promise<void> {
    const status = this.#state(state, error)
    const text = JSON.stringify({ ...status, end: 0 })
    const old = performance.now() - this.#toldAt > this.#signMs
    if (text === this.#told && !old) return
    const over = state !== 'running'
    if (!over && this.#told !== '' && this.#ending) return
    this.#told = text
    this.#toldAt = performance.now()
    this.#telling = this.#telling.then(async () => {
      try {
        await this.#status.write(write(status))
      } catch (problem) {
        if (over || !(problem instanceof StoreError)) throw problem
        this.#told = ''
      }
    })
    const telling = this.#telling
    this.#telling = telling.catch(() => {})
    await telling
  }

  #state(state: Status['state'], error: Error | undefined): Status {
    const { done, failed } = this.#settled
    const over = state !== 'running'
    const left = this.#record.total - done - failed
    const now = this.#job?.snapshot() ?? { running: 0, slots: 0 }
    const running = over ? 0 : Math.min(left, now.running)
    return {
      state,
      round: this.#round,
      done,
      failed,
      retries: this.#retries,
      running,
      queued: over ? 0 : left - running,
      slots: over ? 0 : now.slots,
      waiting: over || running > 0 ? undefined : this.#waiting(left),
      startedAt: this.#startedAt,
      endedAt: over ? Date.now() : undefined,
      end: this.#writer.end,
      error: error && toFrame(encode(error)),
      driver: this.#store.connection.identity,
    }
  }

  #waiting(queued: number): string | undefined {
    const { connection } = this.#store
    const { tags, pool } = this.#record.spec
    const need = { ...(tags?.length && { tags }), ...(pool.memory !== undefined && { memory: pool.memory }) }
    return reason({
      engine: describeLink(connection.link),
      pool: connection.pool,
      connected: connection.up,
      nodes: this.#engine.nodes(),
      jobs: this.#job && queued > 0 ? [{ need, waiting: queued, held: 0, refused: false }] : [],
      trouble: this.#writer.trouble,
    })
  }
}

function* indexes({ start, count, ignore }: Draft): Generator<number, void, undefined> {
  const ignored = new Set(ignore)
  for (let offset = 0; offset < count; offset++) if (!ignored.has(offset)) yield start + offset
}
