/** A job as the user holds it. */

import type { Program } from '../capture/program.ts'
import type { Engine } from '../engine/engine.ts'
import { Batch, type Failure, type JobState, type Sink } from './batch.ts'
import { announce, newJobId } from './channel.ts'
import { isNumeric } from './inputs.ts'
import type { ResolvedOptions } from './options.ts'
import type { Progress } from './progress.ts'
import { type Duration, parseDuration } from './quantities.ts'

/** Outcome of one task: as `Promise.allSettled` gives it. */
export type Outcome<R> = PromiseSettledResult<R>

/** One finished task of a stream. */
export interface Item<I, R> {
  /** Position of the input. */
  index: number
  input: I
  value: R
}

/** Everything about a job but its inputs. */
export interface JobParts {
  engine: Engine
  name: string
  program: Program | Promise<Program>
  options: ResolvedOptions
  /** End with the first task that fails. */
  bail: boolean
  /** Where the job was submitted. */
  site: { stack?: string }
}

/**
 * Tasks that were submitted together. The job runs by itself; the handle is for looking, waiting and cancelling.
 */
export class Job<R> {
  /** Unique in this process. */
  readonly id: string
  readonly name: string
  /** Settles when the job is over, never with an error; see `state`. */
  readonly done: Promise<JobState>
  readonly #batch: Batch
  readonly #collected: Collected

  /** @internal */
  constructor(parts: JobParts, inputs: unknown) {
    const { engine, name, program, options, bail, site } = parts
    this.name = name
    this.id = newJobId(name)
    this.#collected = new Collected(inputs, (count) => this.#batch.taken(count))
    this.#batch = new Batch(
      engine,
      name,
      inputs,
      this.id,
      { options, bail, drain: !bail, window: 'all', site },
      this.#collected,
    )
    this.done = this.#collected.whenEnded.then(() => this.#batch.state)
    announce(() => this)
    this.#batch.start(program)
  }

  get state(): JobState {
    return this.#batch.state
  }

  /** How far the job is now. */
  get progress(): Progress {
    return this.#batch.progress
  }

  /**
   * How far the job is: now, every `interval` (milliseconds, or text such as `1s`), and once more when it is over.
   * Throws OptionError.
   *
   * @param interval @default 200
   */
  watch(interval: Duration = 200): AsyncGenerator<Progress, void, undefined> {
    return this.#watch(parseDuration(interval, 'interval'))
  }

  async *#watch(ms: number): AsyncGenerator<Progress, void, undefined> {
    while (!this.#collected.over) {
      yield this.progress
      await this.#collected.overWithin(ms)
    }
    yield this.progress
  }

  /**
   * What becomes of the tasks, as they end (those that ended before come first). Throws at the end if the job
   * itself ended early.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<{ index: number } & Outcome<R>, void, undefined> {
    const { log } = this.#collected
    for (let at = 0; ; ) {
      while (at < log.length) {
        const start = log[at++] as number
        const end = start + (log[at++] as number)
        for (let index = start; index < end; index++) yield { index, ...this.#outcome(index) }
      }
      if (this.#collected.over) break
      await this.#collected.changed()
    }
    const { failure } = this.#collected
    if (failure) throw failure.error
  }

  /** All results in the order of the inputs. Rejects with the error of the first task that failed, or of the job. */
  async results(): Promise<R[]> {
    await this.#collected.whenEnded
    const { failure, errors, values } = this.#collected
    if (failure) throw failure.error
    if (errors.size > 0) throw errors.values().next().value
    return values as R[]
  }

  /** What became of every task, in the order of the inputs. Rejects only if the job itself ended early. */
  async settled(): Promise<Outcome<R>[]> {
    await this.#collected.whenEnded
    const { failure, values } = this.#collected
    if (failure) throw failure.error
    return Array.from({ length: values.length }, (_, index) => this.#outcome(index))
  }

  #outcome(index: number): Outcome<R> {
    const { errors, values } = this.#collected
    if (errors.has(index)) return { status: 'rejected', reason: errors.get(index) }
    return { status: 'fulfilled', value: values[index] as R }
  }

  /** Ends the job: what runs is told (`task.signal`) and stopped, the rest never begins. */
  cancel(reason?: unknown): void {
    this.#batch.cancel(reason)
  }

  /** Cancels the job unless it is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel('the job was disposed of')
    await this.done
  }
}

/** Keeps every outcome. Numbers stay packed for as long as all results are numbers. */
class Collected implements Sink {
  values: unknown[] | Float64Array
  readonly errors = new Map<number, unknown>()
  /** Outcomes in the order in which they came: the first index and the number of each lot. */
  readonly log: number[] = []
  failure: Failure | undefined
  over = false
  readonly whenEnded: Promise<void>
  readonly #taken: (count: number) => void
  #end: () => void = () => {}
  /** Who waits for the next outcome, or for the end. */
  readonly #onChange = new Set<() => void>()
  readonly #onEnd = new Set<() => void>()

  constructor(inputs: unknown, taken: (count: number) => void) {
    if (isNumeric(inputs)) this.values = new Float64Array(inputs.length)
    else this.values = Array.isArray(inputs) ? new Array(inputs.length) : []
    this.#taken = taken
    this.whenEnded = new Promise((resolve) => (this.#end = resolve))
  }

  results(start: number, values: ArrayLike<unknown>, count: number): void {
    this.#keep(start, values, count)
    this.log.push(start, count)
    wake(this.#onChange)
    this.#taken(count)
  }

  #keep(start: number, values: ArrayLike<unknown>, count: number): void {
    if (this.values instanceof Float64Array) {
      if (values instanceof Float64Array || allNumbers(values))
        this.values.set(values as ArrayLike<number>, start)
      else this.values = Array.from(this.values)
    }
    const list = this.values
    if (list instanceof Float64Array) return
    // Two loops with one kind of array each are three times as fast as one that meets both.
    if (values instanceof Float64Array) for (let at = 0; at < count; at++) list[start + at] = values[at]
    else for (let at = 0; at < count; at++) list[start + at] = values[at]
  }

  failed(index: number, error: unknown): void {
    this.errors.set(index, error)
    if (!(this.values instanceof Float64Array) && index >= this.values.length) this.values.length = index + 1
    this.log.push(index, 1)
    wake(this.#onChange)
    this.#taken(1)
  }

  ended(failure: Failure | undefined): void {
    this.failure = failure
    this.over = true
    this.#end()
    wake(this.#onChange)
    wake(this.#onEnd)
  }

  /** Resolves with the next outcome, or the end. */
  changed(): Promise<void> {
    return new Promise((resolve) => void this.#onChange.add(resolve))
  }

  /** Resolves at the end, or after `ms` milliseconds. */
  overWithin(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#onEnd.delete(done)
        resolve()
      }
      // Looking at a job does not keep the program alive; its open tasks do.
      const timer = setTimeout(done, ms).unref()
      this.#onEnd.add(done)
    })
  }
}

function wake(waiting: Set<() => void>): void {
  if (waiting.size === 0) return
  const all = [...waiting]
  waiting.clear()
  for (const resolve of all) resolve()
}

function allNumbers(values: ArrayLike<unknown>): boolean {
  for (let at = 0; at < values.length; at++) if (typeof values[at] !== 'number') return false
  return true
}
