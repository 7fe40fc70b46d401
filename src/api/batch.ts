/**
 * A job over many inputs: `map`, `settled`, `stream` and `submit` are views of it. Tasks are indexes; inputs are
 * encoded when their chunk leaves, so a million inputs cost nothing until then. It creates no promise per task.
 */
import type { Program } from '../capture/program.ts'
import { decode, type Encoded, encodeList, packNumbers, takeGiven } from '../codec/index.ts'
import { MAP_CAP } from '../core/chunk-size.ts'
import type { Arguments, Engine, EngineJob, JobClient } from '../engine/engine.ts'
import { CancelledError, DeadlineError } from '../errors.ts'
import { FEW_NUMBERS } from '../slot/payload.ts'
import type { Delivery } from '../slot/protocol.ts'
import { Feed, type Window } from './feed.ts'
import { writeLog } from './log.ts'
import type { ResolvedOptions } from './options.ts'
import { Meter, type Progress } from './progress.ts'
import { callerError, readResults, slotProgram } from './results.ts'
import { Retries } from './retries.ts'

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled'

/** Why something failed; boxed, since tasks may throw `undefined`. */
export interface Failure {
  error: unknown
}

/** Receives the outcomes, each exactly once, in the order in which they come in. */
export interface Sink {
  /** @param values one result for each task from `start` */
  results(start: number, values: ArrayLike<unknown>, count: number): void
  failed(index: number, error: unknown): void
  /** The job is over; `failure` says why it ended early. */
  ended(failure: Failure | undefined): void
}

export interface BatchOptions {
  options: ResolvedOptions
  /** End the job with the first task that fails. */
  bail: boolean
  /** When the inputs throw, what was read before still runs. */
  drain: boolean
  window: Window
  /** Where the job was submitted. */
  site: { stack?: string }
}

const NOTHING = { queued: 0, running: 0, slots: 0 }

export class Batch implements JobClient {
  readonly id: string
  readonly name: string
  state: JobState = 'queued'
  readonly #engine: Engine
  #program: Program | undefined
  readonly #settings: BatchOptions
  readonly #sink: Sink
  readonly #feed: Feed
  #job: EngineJob | undefined
  readonly #meter = new Meter()
  /** Tasks that have no outcome yet among those that were read. */
  #open = 0
  /** Tasks whose arguments could not be sent: they have their outcome, their (empty) result is still to come. */
  readonly #refused = new Set<number>()
  readonly #retries: Retries
  #deadline: NodeJS.Timeout | undefined
  readonly #onAbort = (): void => this.cancel(this.#settings.options.signal?.reason)

  constructor(engine: Engine, name: string, inputs: unknown, id: string, settings: BatchOptions, sink: Sink) {
    this.id = id
    this.name = name
    this.#engine = engine
    this.#settings = settings
    this.#sink = sink
    this.#retries = new Retries(settings.options.retry)
    this.#feed = new Feed(inputs, settings.window, engine.slots, {
      more: (start, end) => this.#more(start, end),
      ended: () => this.#inputsEnded(),
    })
  }

  /** Begins to read inputs, as soon as the program is there. */
  start(program: Program | Promise<Program>): void {
    const { signal, deadline } = this.#settings.options
    if (signal?.aborted) {
      if (program instanceof Promise) program.catch(() => {})
      return this.cancel(signal.reason)
    }
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (deadline !== undefined) {
      this.#deadline = setTimeout(() => this.#end('failed', { error: new DeadlineError(deadline) }), deadline)
    }
    if (!(program instanceof Promise)) return this.#begin(program)
    program.then(
      (ready) => this.#begin(ready),
      (error) => this.#end('failed', { error }),
    )
  }

  #begin(program: Program): void {
    if (this.#over) return
    this.#program = program
    const { timeout, priority, concurrency, crashes, pool, tags } = this.#settings.options
    try {
      this.#job = this.#engine.submit(
        {
          id: this.id,
          name: this.name,
          program: slotProgram(program),
          spread: false,
          priority,
          cap: MAP_CAP,
          solo: timeout !== undefined,
          timeout,
          concurrency,
          crashes,
          pool,
          tags,
        },
        this,
      )
    } catch (error) {
      return this.#end('failed', { error })
    }
    this.state = 'running'
    this.#feed.pull()
  }

  cancel(reason?: unknown): void {
    const error = new CancelledError(`The job '${this.name}' was cancelled`, reason)
    this.#end('cancelled', { error })
  }

  /** The consumer has taken `count` outcomes: more inputs may be read. */
  taken(count: number): void {
    this.#feed.taken(count)
  }

  input(index: number): unknown {
    return this.#feed.input(index)
  }

  get progress(): Progress {
    const { total } = this.#feed
    const idle = this.state === 'queued' && total !== undefined ? { ...NOTHING, queued: total } : NOTHING
    return this.#meter.snapshot(total, this.#job?.snapshot() ?? idle)
  }

  get #over(): boolean {
    return this.state !== 'queued' && this.state !== 'running'
  }

  #more(start: number, end: number): void {
    this.#open += end - start
    this.#job?.add(start, end, 1)
  }

  #inputsEnded(): void {
    const { error } = this.#feed
    if (error && !this.#settings.drain) this.#end('failed', { error })
    else this.#endIfDone()
  }

  #settled(start: number, count: number): void {
    this.#open -= count
    this.#feed.drop(start, count)
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (this.#over || this.#open > 0 || !this.#feed.ended) return
    const { error } = this.#feed
    if (error) this.#end('failed', { error })
    else this.#end(this.#meter.failed > 0 ? 'failed' : 'done', undefined)
  }

  #end(state: JobState, failure: Failure | undefined): void {
    if (this.#over) return
    this.state = state
    this.#meter.end()
    clearTimeout(this.#deadline)
    this.#settings.options.signal?.removeEventListener('abort', this.#onAbort)
    this.#feed.close()
    this.#retries.clear()
    if (this.#open > 0) this.#job?.cancel()
    else this.#job?.forget()
    const { site } = this.#settings
    this.#sink.ended(failure && { error: callerError(failure.error, this.#program, site.stack, '') })
  }

  // ---- what the engine asks and tells -----------------------------------------------------------------

  arguments(start: number, count: number, separate: boolean): Arguments {
    const { values, offset } = this.#feed.values(start, count)
    // After a crash the arguments are asked for again, those that were refused before too.
    if (this.#refused.size > 0) return this.#encode(values, offset, start, count, separate)
    const numbers =
      values instanceof Float64Array
        ? values.slice(offset, offset + count)
        : packNumbers(values, offset, offset + count)
    if (numbers) {
      // Few numbers travel as they are: integers stay integers, with which loops of a task are faster.
      const few = count <= FEW_NUMBERS && Array.isArray(values)
      const sent = few ? (values.slice(offset, offset + count) as number[]) : numbers
      return { payload: { kind: 'f64', values: sent }, skip: [], owned: true }
    }
    return this.#encode(values, offset, start, count, separate)
  }

  #encode(
    values: ArrayLike<unknown>,
    offset: number,
    start: number,
    count: number,
    separate: boolean,
  ): Arguments {
    const { entities } = this.#program as Program
    const shared = this.#settings.options.pool.isolation === 'thread'
    const lists: Encoded[] = []
    const skip: number[] = []
    for (let at = 0; at < count; at += separate ? 1 : count) {
      const list = Array.prototype.slice.call(values, offset + at, offset + at + (separate ? 1 : count))
      for (let index = 0; this.#refused.size > 0 && index < list.length; index++) {
        if (!this.#refused.has(start + at + index)) continue
        skip.push(at + index)
        list[index] = undefined
      }
      const nameOf = (index: number): string => `inputs[${start + at + index}]`
      const { encoded, failed } = encodeList(list, { entities, shared }, nameOf)
      lists.push(shared ? encoded : takeGiven(encoded))
      for (const { index, error } of failed) {
        skip.push(at + index)
        this.#refused.add(start + at + index)
        // Not from inside the engine's call: it is about to send the neighbours.
        queueMicrotask(() => this.#fail(start + at + index, error))
      }
    }
    return { payload: { kind: 'any', lists }, skip, owned: true }
  }

  delivered(delivery: Delivery): void {
    if (this.#over) return
    const { start, count, attempt, slot, ignore = [] } = delivery
    const { values, failed } = readResults(delivery, this.#program as Program)
    if (failed.length === 0 && this.#refused.size === 0 && ignore.length === 0) {
      this.#meter.done += count
      for (let index = start; index < start + count && this.#retries.size > 0; index++) {
        this.#retries.settled(index)
      }
      this.#sink.results(start, values, count)
      return this.#settled(start, count)
    }
    const bad = new Set(failed)
    const old = new Set(ignore)
    for (let offset = 0; offset < count && !this.#over; offset++) {
      if (old.has(offset)) continue
      const index = start + offset
      if (this.#refused.delete(index)) continue
      if (bad.has(offset)) this.#failed(index, values[offset], attempt, slot)
      else this.#one(index, values[offset])
    }
  }

  #one(index: number, value: unknown): void {
    this.#retries.settled(index)
    this.#meter.done++
    this.#sink.results(index, [value], 1)
    this.#settled(index, 1)
  }

  #failed(index: number, thrown: unknown, attempt: number, slot: string): void {
    const where = `${slot}, task ${index}${attempt > 1 ? `, attempt ${attempt}` : ''}`
    this.#again(index, callerError(thrown, this.#program, this.#settings.site.stack, where), attempt)
  }

  #again(index: number, error: unknown, attempt: number): void {
    const again = (): void => {
      if (!this.#over) this.#job?.add(index, index + 1, attempt + 1)
    }
    const end = this.#retries.failed(index, error, again)
    if (end) this.#final(index, end.error)
    else this.#meter.retries++
  }

  retries(index: number): boolean {
    return this.#retries.has(index)
  }

  /** A task that could not be sent: it has its outcome now, its (empty) result is ignored when it comes. */
  #fail(index: number, error: unknown): void {
    if (this.#over) return
    this.#final(index, callerError(error, this.#program, this.#settings.site.stack, ''))
  }

  #final(index: number, error: unknown): void {
    this.#meter.failed++
    this.#retries.settled(index)
    if (this.#settings.bail) return this.#end('failed', { error })
    this.#sink.failed(index, error)
    this.#settled(index, 1)
  }

  lost(start: number, count: number, error: Error, attempt?: number): void {
    if (this.#over) return
    if (count === Infinity) return this.#end('failed', { error })
    const told = callerError(error, this.#program, this.#settings.site.stack, '')
    for (let index = start; index < start + count && !this.#over; index++) {
      if (this.#refused.delete(index)) continue
      if (attempt === undefined) this.#final(index, told)
      else this.#again(index, told, attempt)
    }
  }

  log(index: number, stream: 'stdout' | 'stderr', text: string): void {
    writeLog(this.#settings.options.log, { index, stream, text })
  }

  /** A task sent a value with `task.progress`. */
  progressed(index: number, value: Encoded): void {
    this.#settings.options.onProgress?.(
      decode(value, { entities: (this.#program as Program).entities }),
      index,
    )
  }
}
