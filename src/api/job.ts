/** A job as the user holds it. */

import type { Program } from '../capture/program.ts'
import type { Engine } from '../engine/engine.ts'
import { Batch, type JobState, type Sink } from './batch.ts'
import { announce, newJobId } from './channel.ts'
import { isNumeric } from './inputs.ts'
import type { ResolvedOptions } from './options.ts'
import type { Progress } from './progress.ts'

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
      { options, bail, window: 'all', site },
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

  /** How far the job is, every `interval` milliseconds, and once more when it is over. @default 200 */
  async *watch(interval = 200): AsyncGenerator<Progress, void, undefined> {
    let over = false
    const end = this.done.then(() => {
      over = true
    })
    while (!over) {
      yield this.progress
      let timer: NodeJS.Timeout | undefined
      await Promise.race([end, new Promise<void>((resolve) => (timer = setTimeout(resolve, interval)))])
      clearTimeout(timer)
    }
    yield this.progress
  }

  /** All results in the order of the inputs. Rejects with the error of the first task that failed, or of the job. */
  async results(): Promise<R[]> {
    await this.#collected.whenEnded
    const { error, errors, values } = this.#collected
    if (error !== undefined) throw error
    if (errors.size > 0) throw errors.values().next().value
    return values as R[]
  }

  /** What became of every task, in the order of the inputs. Rejects only if the job itself ended early. */
  async settled(): Promise<Outcome<R>[]> {
    await this.#collected.whenEnded
    const { error, errors, values } = this.#collected
    if (error !== undefined) throw error
    return Array.from(values as ArrayLike<R>, (value, index) =>
      errors.has(index) ? { status: 'rejected', reason: errors.get(index) } : { status: 'fulfilled', value },
    )
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
  error: unknown
  readonly whenEnded: Promise<void>
  readonly #taken: (count: number) => void
  #end: () => void = () => {}

  constructor(inputs: unknown, taken: (count: number) => void) {
    if (isNumeric(inputs)) this.values = new Float64Array(inputs.length)
    else this.values = Array.isArray(inputs) ? new Array(inputs.length) : []
    this.#taken = taken
    this.whenEnded = new Promise((resolve) => (this.#end = resolve))
  }

  results(start: number, values: ArrayLike<unknown>, count: number): void {
    if (this.values instanceof Float64Array) {
      if (values instanceof Float64Array || allNumbers(values))
        this.values.set(values as ArrayLike<number>, start)
      else this.values = Array.from(this.values)
    }
    const list = this.values
    if (list instanceof Float64Array) return this.#taken(count)
    // Two loops with one kind of array each are three times as fast as one that meets both.
    if (values instanceof Float64Array) for (let at = 0; at < count; at++) list[start + at] = values[at]
    else for (let at = 0; at < count; at++) list[start + at] = values[at]
    this.#taken(count)
  }

  failed(index: number, error: unknown): void {
    this.errors.set(index, error)
    if (!(this.values instanceof Float64Array) && index >= this.values.length) this.values.length = index + 1
    this.#taken(1)
  }

  ended(error: unknown): void {
    this.error = error
    this.#end()
  }
}

function allNumbers(values: ArrayLike<unknown>): boolean {
  for (let at = 0; at < values.length; at++) if (typeof values[at] !== 'number') return false
  return true
}
