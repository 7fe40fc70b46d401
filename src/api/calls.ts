/**
 * Single calls of one function: an open-ended job. Calls made in the same tick travel together, a lone call
 * leaves at the end of the tick without waiting for others.
 */
import type { Program } from '../capture/program.ts'
import { decode, type Encoded, encodeList } from '../codec/index.ts'
import { CALL_CAP } from '../core/chunk-size.ts'
import { retryDelay } from '../core/retry.ts'
import type { Arguments, Engine, EngineJob, JobClient } from '../engine/engine.ts'
import { CancelledError, DeadlineError } from '../errors.ts'
import type { Delivery } from '../slot/protocol.ts'
import { announce, newJobId } from './channel.ts'
import { writeLog } from './log.ts'
import type { ResolvedOptions } from './options.ts'
import { Meter } from './progress.ts'
import { callerError, readResults, slotProgram } from './results.ts'

/** Calls of one tick that remember each their own caller; a loop of thousands has the same one anyway. */
const OWN_STACKS = 32

interface Call {
  /** Arguments that nothing can change, or their encoding as it was when the call was made. */
  args: unknown[] | undefined
  encoded: Encoded | undefined
  resolve(value: unknown): void
  reject(error: unknown): void
  /** Where the call was made. */
  site: { stack?: string }
  deadline: NodeJS.Timeout | undefined
}

export class Calls implements JobClient {
  readonly program: Program
  readonly #options: ResolvedOptions
  readonly #job: EngineJob
  readonly #id: string
  /** Calls by index, from `#base`; settled ones leave a hole. */
  #calls: (Call | undefined)[] = []
  #base = 0
  #next = 0
  #open = 0
  /** First call that the engine has not been given. */
  #unsent = 0
  #stacksLeft = OWN_STACKS
  #site: { stack?: string } = {}
  #busy: { meter: Meter; end(): void } | undefined

  constructor(engine: Engine, program: Program, options: ResolvedOptions) {
    this.program = program
    this.#options = options
    this.#id = newJobId(program.name)
    const { priority, timeout, concurrency, crashes, pool } = options
    const solo = timeout !== undefined || options.deadline !== undefined
    this.#job = engine.submit(
      {
        id: this.#id,
        name: options.name ?? program.name,
        program: slotProgram(program),
        spread: true,
        priority,
        cap: CALL_CAP,
        solo,
        timeout,
        concurrency,
        crashes,
        pool,
      },
      this,
    )
    options.signal?.addEventListener('abort', () => this.#cancel(options.signal?.reason), { once: true })
  }

  call(args: unknown[]): Promise<unknown> {
    const { signal, deadline } = this.#options
    if (signal?.aborted) return Promise.reject(new CancelledError('The call was cancelled', signal.reason))
    const plain = args.every(isPlain)
    let encoded: Encoded | undefined
    if (!plain) {
      const { entities } = this.program
      const { encoded: list, failed } = encodeList([args], { path: 'args', entities, shared: this.#shared })
      if (failed[0]) return Promise.reject(failed[0].error)
      encoded = list
    }
    return new Promise((resolve, reject) => {
      const index = this.#next++
      const call: Call = {
        args: plain ? args : undefined,
        encoded,
        resolve,
        reject,
        site: this.#here(),
        deadline: undefined,
      }
      if (deadline !== undefined) {
        call.deadline = setTimeout(() => this.#settle(index)?.reject(new DeadlineError(deadline)), deadline)
      }
      this.#calls.push(call)
      if (this.#open++ === 0) this.#begin()
      if (index === this.#unsent) queueMicrotask(() => this.#flush())
    })
  }

  /** No more calls will come. */
  end(): void {
    if (this.#open === 0) this.#job.forget()
  }

  get #shared(): boolean {
    return this.#options.pool.isolation === 'thread'
  }

  #here(): { stack?: string } {
    if (this.#stacksLeft > 0) {
      this.#stacksLeft--
      this.#site = {}
      Error.captureStackTrace(this.#site, Calls.prototype.call)
    }
    return this.#site
  }

  #flush(): void {
    const from = this.#unsent
    this.#unsent = this.#next
    this.#stacksLeft = OWN_STACKS
    this.#job.add(from, this.#next, 1)
  }

  #get(index: number): Call | undefined {
    return this.#calls[index - this.#base]
  }

  /** Takes a call out; undefined when it was settled before. */
  #settle(index: number): Call | undefined {
    const at = index - this.#base
    const call = this.#calls[at]
    if (!call) return undefined
    this.#calls[at] = undefined
    clearTimeout(call.deadline)
    if (--this.#open === 0) {
      this.#calls = []
      this.#base = this.#next
      this.#busy?.end()
      this.#busy = undefined
    } else if (at > 4096 && at * 2 > this.#calls.length) {
      this.#compact()
    }
    return call
  }

  #compact(): void {
    const first = this.#calls.findIndex((call) => call !== undefined)
    if (first < 2048) return
    this.#calls = this.#calls.slice(first)
    this.#base += first
  }

  #cancel(reason: unknown): void {
    this.#job.cancel()
    for (let index = this.#base; index < this.#next; index++) {
      const call = this.#get(index)
      if (call) this.#settle(index)?.reject(new CancelledError('The call was cancelled', reason))
    }
  }

  // ---- what the engine asks and tells -----------------------------------------------------------------

  arguments(start: number, count: number, separate: boolean): Arguments {
    const numbers = new Array<number>(count)
    let filled = 0
    for (; filled < count; filled++) {
      const args = this.#get(start + filled)?.args
      const value = args?.length === 1 ? args[0] : undefined
      if (typeof value !== 'number') break
      numbers[filled] = value
    }
    if (filled === count) {
      return {
        payload: { kind: 'f64', values: count > 32 ? Float64Array.from(numbers) : numbers },
        skip: [],
        owned: true,
      }
    }
    const skip: number[] = []
    const lists: Encoded[] = []
    let run: unknown[] = []
    const close = (): void => {
      if (run.length > 0) lists.push(encodeList(run, {}).encoded)
      run = []
    }
    for (let offset = 0; offset < count; offset++) {
      const call = this.#get(start + offset)
      if (!call) skip.push(offset)
      if (call?.encoded) {
        close()
        lists.push(call.encoded)
      } else {
        run.push(call?.args ?? [])
        if (separate) close()
      }
    }
    close()
    return { payload: { kind: 'any', lists }, skip, owned: false }
  }

  delivered(delivery: Delivery): void {
    const { start, count, failed, attempt, slot } = delivery
    const values = readResults(delivery, this.program)
    const meter = this.#busy?.meter
    if (meter) meter.done += count - failed.length
    if (failed.length === 0) {
      for (let offset = 0; offset < count; offset++) this.#settle(start + offset)?.resolve(values[offset])
      return
    }
    const bad = new Set(failed)
    for (let offset = 0; offset < count; offset++) {
      if (bad.has(offset)) this.#failed(start + offset, values[offset], attempt, slot)
      else this.#settle(start + offset)?.resolve(values[offset])
    }
  }

  #failed(index: number, thrown: unknown, attempt: number, slot: string): void {
    const call = this.#get(index)
    if (!call) return
    const error = callerError(thrown, this.program, call.site.stack, slot)
    const delay = retryDelay(this.#options.retry, attempt, error)
    const meter = this.#busy?.meter
    if (delay !== undefined) {
      if (meter) meter.retries++
      setTimeout(() => this.#get(index) && this.#job.add(index, index + 1, attempt + 1), delay)
      return
    }
    if (meter) meter.failed++
    this.#settle(index)?.reject(error)
  }

  lost(start: number, count: number, error: Error): void {
    const end = Math.min(this.#next, start + count)
    for (let index = Math.max(start, this.#base); index < end; index++) {
      const call = this.#settle(index)
      if (this.#busy) this.#busy.meter.failed++
      call?.reject(callerError(error, this.program, call.site.stack, ''))
    }
  }

  log(index: number, stream: 'stdout' | 'stderr', text: string): void {
    writeLog(this.#options.log, { index, stream, text })
  }

  progressed(index: number, value: Encoded): void {
    this.#options.onProgress?.(decode(value, { entities: this.program.entities }), index)
  }

  /** From idle to busy: for tools, the calls until it is idle again are a job. */
  #begin(): void {
    announce(() => {
      const meter = new Meter()
      const from = this.#next - 1
      let resolveDone = (): void => {}
      const done = new Promise<void>((resolve) => (resolveDone = resolve))
      const end = (): void => {
        meter.end()
        resolveDone()
      }
      this.#busy = { meter, end }
      const snapshot = () => meter.snapshot(this.#next - from, this.#job.snapshot())
      return {
        id: this.#id,
        name: this.#options.name ?? this.program.name,
        done,
        get state() {
          return 'running'
        },
        get progress() {
          return snapshot()
        },
      }
    })
  }
}

/** Nothing can change it between the call and the moment that it is sent. */
function isPlain(value: unknown): boolean {
  return (
    (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') || value === null
  )
}
