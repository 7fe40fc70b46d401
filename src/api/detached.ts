/** Detached jobs: they go on without the program that submitted them, and any other finds them by their id. */
import type { Program } from '../capture/program.ts'
import { decode, type Entities, fromFrame } from '../codec/index.ts'
import { MAP_CAP } from '../core/chunk-size.ts'
import { Changes, type Lot, OutcomeReader, readLogs } from '../detached/reader.ts'
import { type DetachedState, isOver, type LogLine } from '../detached/record.ts'
import { type JobView, Store } from '../detached/store.ts'
import { Submission } from '../detached/submission.ts'
import type { Engine } from '../engine/engine.ts'
import { CancelledError, InputError, OptionError } from '../errors.ts'
import { iteratorOf } from './inputs.ts'
import type { JobParts, Outcome } from './job.ts'
import type { ResolvedOptions } from './options.ts'
import type { Progress } from './progress.ts'
import { type Duration, parseDuration } from './quantities.ts'
import { callerError, readResults, slotProgram } from './results.ts'

export type { DetachedState, LogLine } from '../detached/record.ts'

/** Results wait for this long: 7 days. */
const KEEP_MS = 7 * 24 * 3_600_000
/** A driver says at least so often how a job is that changes, milliseconds. */
const LOOK_MS = 1000

/** A detached job, for people and tools. */
export interface DetachedInfo {
  id: string
  name: string
  state: DetachedState
  progress: Progress
  /** Why nothing of it runs now, where that is known. */
  waiting: string | undefined
  /** Who submitted it: the name in the credentials. */
  user: string
  submittedAt: Date
  endedAt: Date | undefined
  /** When its results are removed; undefined until it is over. */
  keptUntil: Date | undefined
}

/** A job that goes on without this program. Nothing here ends it but `cancel()`. */
export class DetachedJob<R> {
  /** Unique in the pool; `(await connect(url)).job(id)` finds it again. */
  readonly id: string
  readonly name: string
  readonly #store: Store
  readonly #program: Program | undefined
  readonly #site: { stack?: string }

  /** @internal */
  constructor(store: Store, id: string, name: string, program?: Program, site: { stack?: string } = {}) {
    this.id = id
    this.name = name
    this.#store = store
    this.#program = program
    this.#site = site
  }

  /** How it is now. Rejects with JobError when it was removed, as do the others. */
  async info(): Promise<DetachedInfo> {
    return infoOf(await this.#store.job(this.id))
  }

  async state(): Promise<DetachedState> {
    return (await this.#store.job(this.id)).state
  }

  async progress(): Promise<Progress> {
    return (await this.info()).progress
  }

  /**
   * How the job is: now, whenever that changes but not more often than every `interval`, and once more when it is over.
   *
   * @param interval milliseconds, or text such as `1s`. @default 400
   */
  async *watch(interval: Duration = 400): AsyncGenerator<DetachedInfo, void, undefined> {
    const ms = parseDuration(interval, 'interval')
    const changes = new Changes(this.#store, this.id)
    try {
      for (;;) {
        const info = await this.info()
        yield info
        if (isOver(info.state)) return
        await Promise.all([changes.next(Math.max(ms, LOOK_MS)), sleep(ms)])
      }
    } finally {
      changes.end()
    }
  }

  /** Resolves when the job is over, whatever became of it. */
  async done(): Promise<DetachedState> {
    for await (const { state } of this.watch()) if (isOver(state)) return state
    return this.state()
  }

  /** Outcomes in the order in which they come; throws at the end if the job itself ended early. */
  [Symbol.asyncIterator](): AsyncGenerator<{ index: number } & Outcome<R>, void, undefined> {
    return this.outcomes()
  }

  /**
   * Outcomes in the order in which they come; throws at the end if the job itself ended early.
   * @param options `wait`: also for those that are still to come. @default true
   */
  async *outcomes({
    wait = true,
  }: {
    wait?: boolean
  } = {}): AsyncGenerator<{ index: number } & Outcome<R>, void, undefined> {
    const reader = new OutcomeReader(this.#store, this.id)
    for await (const lot of reader.read(wait)) yield* this.#outcomes(lot)
    const failure = reader.end && failureOf(reader.end)
    if (failure) throw failure
  }

  /** All results in the order of the inputs. Rejects with the error of the first task that failed, or of the job. */
  async results(): Promise<R[]> {
    const { values, errors } = await this.#collect()
    const first = errors.entries().next().value
    if (first) throw first[1]
    return values
  }

  /** What became of every task, in the order of the inputs. Rejects only if the job itself ended early. */
  async settled(): Promise<Outcome<R>[]> {
    const { values, errors } = await this.#collect()
    return values.map((value, index) =>
      errors.has(index) ? { status: 'rejected', reason: errors.get(index) } : { status: 'fulfilled', value },
    )
  }

  /**
   * What its tasks print, in the order in which it came.
   * @param options `follow`: also what is still to come, until the job is over. @default false
   */
  logs(options: { follow?: boolean } = {}): AsyncGenerator<LogLine, void, undefined> {
    return readLogs(this.#store, this.id, options.follow === true)
  }

  /** Ends the job: what runs is stopped, the rest never begins; the results that it has stay. */
  async cancel(): Promise<void> {
    await this.#store.cancel(this.id)
  }

  /** Runs again what failed (or, of a cancelled job, was not done). Rejects with JobError unless it is over. */
  async retry(): Promise<void> {
    await this.#store.retry(this.id)
  }

  /** Removes the job with its results and logs; ends it before, where it runs. */
  async remove(): Promise<void> {
    await this.#store.job(this.id)
    await this.#store.remove(this.id)
  }

  async #collect(): Promise<{ values: R[]; errors: Map<number, unknown> }> {
    const errors = new Map<number, unknown>()
    const values: R[] = []
    for await (const outcome of this) {
      if (outcome.status === 'fulfilled') values[outcome.index] = outcome.value
      else {
        if (outcome.index >= values.length) values.length = outcome.index + 1
        errors.set(outcome.index, outcome.reason)
      }
    }
    // Array.map skips holes: those of failures must be there.
    return { values: Array.from(values), errors }
  }

  *#outcomes({ entry, payload, offsets }: Lot): Generator<{ index: number } & Outcome<R>, void, undefined> {
    const entities = this.#program?.entities ?? STRANGERS
    const results = readResults({ ...entry, payload }, { entities })
    const unreadable = new Set(results.failed)
    for (const { offset, failed } of offsets) {
      const index = entry.start + offset
      const value = results.values[offset]
      if (!failed && !unreadable.has(offset)) {
        yield { index, status: 'fulfilled', value: value as R }
        continue
      }
      const { attempt, slot } = entry
      const where = `${slot}, task ${index}${attempt > 1 ? `, attempt ${attempt}` : ''}`
      const reason = callerError(value, this.#program, this.#site.stack, where)
      yield { index, status: 'rejected', reason }
    }
  }
}

/** Classes that only the program which submitted the job has: their instances are plain objects here. */
const STRANGERS: Entities = { indexOf: () => undefined, at: () => Object }

/**
 * Stores a job; it is a job when this resolves.
 * @param keep how long its results wait after its end
 */
export async function submitDetached<R>(
  { engine, name, program: later, options, site }: JobParts,
  inputs: unknown,
  keep: Duration = KEEP_MS,
): Promise<DetachedJob<R>> {
  checkOptions(options)
  const keepMs = parseDuration(keep, 'keep')
  const [program, store] = await Promise.all([later, storeOf(engine)])
  const submission = new Submission(store, name, program.entities)
  try {
    await addAll(submission, inputs)
    const { priority, timeout, concurrency, crashes, pool, tags, retry, deadline, log } = options
    const { when: _, ...plainRetry } = retry
    const spec = {
      name,
      spread: false,
      priority,
      cap: MAP_CAP,
      solo: timeout !== undefined,
      timeout,
      concurrency,
      crashes,
      pool: { ...pool, isolation: 'process' as const },
      ...(tags.length > 0 && { tags }),
    }
    const logs = log !== 'ignore'
    const parts = { keepMs, deadline, logs, retry: plainRetry, spec, program: slotProgram(program) }
    await submission.submit(parts)
  } catch (error) {
    await submission.abandon()
    throw error
  }
  return new DetachedJob(store, submission.id, name, program, site)
}

/** The job with this id. Rejects with JobError when there is none. */
export async function findDetached(engine: Engine, id: string): Promise<DetachedJob<unknown>> {
  const store = await storeOf(engine)
  const { record } = await store.job(id)
  return new DetachedJob(store, id, record.spec.name)
}

/** All detached jobs of the pool, the latest last. */
export async function listDetached(engine: Engine): Promise<DetachedInfo[]> {
  return (await (await storeOf(engine)).list()).map(infoOf)
}

export function infoOf({ id, record, state, status }: JobView): DetachedInfo {
  const { total, spec, user, submittedAt, keepMs } = record
  const { done = 0, failed = 0, running = 0, retries = 0, slots = 0, startedAt, endedAt } = status ?? {}
  const elapsedMs = startedAt === undefined ? 0 : Math.max(0, (endedAt ?? Date.now()) - startedAt)
  const rate = elapsedMs > 0 ? ((done + failed) / elapsedMs) * 1000 : 0
  const over = isOver(state)
  const left = total - done - failed
  return {
    id,
    name: spec.name,
    state,
    progress: {
      total,
      done,
      failed,
      running: over ? 0 : running,
      queued: over ? 0 : left - running,
      retries,
      slots: over ? 0 : slots,
      rate,
      etaMs: over || left === 0 ? 0 : rate > 0 ? (left / rate) * 1000 : undefined,
      elapsedMs,
    },
    waiting: over ? undefined : status?.waiting,
    user,
    submittedAt: new Date(submittedAt),
    endedAt: over && endedAt !== undefined ? new Date(endedAt) : undefined,
    keptUntil: over && endedAt !== undefined ? new Date(endedAt + keepMs) : undefined,
  }
}

/** Why the job ended before all its tasks had an outcome. */
export function failureOf({ record, state, status }: JobView): unknown {
  if (state === 'cancelled') return new CancelledError(`The job '${record.spec.name}' was cancelled`)
  return status?.error && decode(fromFrame(status.error))
}

async function storeOf(engine: Engine): Promise<Store> {
  if (!engine.connection) {
    throw new OptionError(
      'Detached jobs need a cluster: on this computer alone nobody would go on with them',
      'start one with `npx dicomp up`, and connect(link) or set DICOMP_URL',
    )
  }
  return new Store(await engine.connection())
}

/** What has to be here while the job runs cannot be part of one that goes on without us. */
function checkOptions({ retry, signal, onProgress, log }: ResolvedOptions): void {
  const refuse = (option: string, fix: string): never => {
    throw new OptionError(
      `A detached job goes on without this program: \`${option}\` cannot be part of it`,
      fix,
    )
  }
  if (retry.when) refuse('retries.when', 'leave it out; job.retry() runs again what failed')
  if (signal) refuse('signal', 'leave it out; job.cancel() ends the job, from anywhere')
  if (onProgress) refuse('onProgress', 'leave it out; job.watch() tells how far the job is')
  if (typeof log === 'function') refuse('log', 'leave it out; job.logs() has what tasks print')
}

async function addAll(submission: Submission, inputs: unknown): Promise<void> {
  if (ArrayBuffer.isView(inputs) && !(inputs instanceof DataView)) {
    for (const value of inputs as unknown as Iterable<unknown>) await submission.add(value)
    return
  }
  const iterator = iteratorOf(inputs)
  const next = async (): Promise<IteratorResult<unknown>> => {
    try {
      return await iterator.next()
    } catch (error) {
      throw new InputError(submission.total, error)
    }
  }
  try {
    for (let step = await next(); !step.done; step = await next()) await submission.add(step.value)
  } catch (error) {
    if (!(error instanceof InputError)) await iterator.return?.()
    throw error
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
