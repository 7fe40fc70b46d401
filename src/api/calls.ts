/**
 * Single calls of one function: an open-ended job. Calls made in the same tick travel together, a lone call
 * leaves at the end of the tick without waiting for others.
 */
import type { Program } from '../capture/program.ts'
import { decode, type Encoded, encodeList, takeGiven } from '../codec/index.ts'
import { CALL_CAP } from '../core/chunk-size.ts'
import type { Arguments, Engine, EngineJob, JobClient } from '../engine/engine.ts'
import { CancelledError, DeadlineError, EncodeError } from '../errors.ts'
import { FEW_NUMBERS } from '../slot/payload.ts'
import type { Delivery } from '../slot/protocol.ts'
import { announce, newJobId } from './channel.ts'
import { writeLog } from './log.ts'
import type { ResolvedOptions } from './options.ts'
import { Meter } from './progress.ts'
import { callerError, readResults, slotProgram } from './results.ts'
import { Retries } from './retries.ts'

/** Calls of one tick that remember each their own caller; a loop of thousands has the same one anyway. */
const OWN_STACKS = 32

/** Hundreds of thousands may wait: each field counts, and so does each object behind one. */
interface Call {
  /** Arguments that nothing can change (a single one by itself), or their encoding as it was when the call was made. */
  input: Plain | Plain[] | Encoded
  /** Also rejects, see `reject`: the function for that alone would be kept too. */
  resolve(value: unknown): void
  /** Where the call was made. */
  site: { stack?: string }
}

type Plain = string | number | bigint | boolean | null | undefined

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
  /** Calls are made in this tick. */
  #gathering = false
  #stacksLeft = OWN_STACKS
  #site: { stack?: string } = {}
  #busy: { meter: Meter; end(): void } | undefined
  readonly #retries: Retries
  readonly #deadlines = new Map<number, NodeJS.Timeout>()
  /** No more calls will come. */
  #ended = false
  readonly #onAbort = (): void => this.#cancel(this.#options.signal?.reason)

  constructor(engine: Engine, program: Program, options: ResolvedOptions) {
    this.program = program
    this.#options = options
    this.#retries = new Retries(options.retry)
    this.#id = newJobId(program.name)
    const { priority, timeout, concurrency, crashes, pool, tags } = options
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
        tags,
      },
      this,
    )
  }

  /** @param since when the call was made, where that is not now (`performance.now()`) */
  call(args: unknown[], since?: number): Promise<unknown> {
    const { signal, deadline } = this.#options
    if (signal?.aborted) return Promise.reject(new CancelledError('The call was cancelled', signal.reason))
    let input: Call['input']
    if (args.every(isPlain)) input = args.length === 1 ? args[0] : args
    else {
      const { entities } = this.program
      const { encoded, failed } = encodeList([args], { path: 'args', entities, shared: this.#shared })
      if (failed[0]) return Promise.reject(failed[0].error)
      input = this.#shared ? encoded : takeGiven(encoded)
    }
    return new Promise((resolve) => {
      const index = this.#next++
      const call: Call = { input, resolve, site: this.#site }
      if (deadline !== undefined) {
        const waited = since === undefined ? 0 : performance.now() - since
        const timer = setTimeout(() => this.#overdue(index, deadline), deadline - waited)
        this.#deadlines.set(index, timer)
      }
      this.#calls.push(call)
      this.#job.asked?.(index)
      if (this.#open++ === 0) this.#begin()
      // The first call of a tick leaves at once; those that follow it in the same tick travel together.
      if (!this.#gathering) {
        this.#gathering = true
        queueMicrotask(() => this.#endTick())
        this.#flush()
      }
      // After the message is on its way: taking a stack is a tenth of the time of a call.
      call.site = this.#here()
    })
  }

  /** No more calls will come. */
  end(): void {
    this.#ended = true
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

  #endTick(): void {
    this.#gathering = false
    this.#stacksLeft = OWN_STACKS
    if (this.#unsent < this.#next) this.#flush()
  }

  #flush(): void {
    const from = this.#unsent
    this.#unsent = this.#next
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
    if (this.#deadlines.size > 0) {
      clearTimeout(this.#deadlines.get(index))
      this.#deadlines.delete(index)
    }
    this.#retries.settled(index)
    if (--this.#open === 0) {
      this.#calls = []
      this.#base = this.#next
      this.#idle()
    } else if (at > 4096 && at * 2 > this.#calls.length) {
      this.#compact()
    }
    return call
  }

  #idle(): void {
    this.#busy?.end()
    this.#busy = undefined
    // A stack holds the functions in it, the handle too, which could never be collected.
    this.#site = {}
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    if (this.#ended) this.#job.forget()
  }

  #overdue(index: number, deadline: number): void {
    // In a pause between two tries the engine does not have it.
    const started = !this.#retries.pauses(index)
    const call = this.#settle(index)
    if (!call) return
    if (started) this.#job.drop(index, index + 1)
    if (this.#busy) this.#busy.meter.failed++
    reject(call, callerError(new DeadlineError(deadline), this.program, call.site.stack, ''))
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
      const call = this.#settle(index)
      if (call) reject(call, new CancelledError('The call was cancelled', reason))
    }
  }

  // ---- what the engine asks and tells -----------------------------------------------------------------

  arguments(start: number, count: number, separate: boolean): Arguments {
    const numbers = new Array<number>(count)
    let filled = 0
    for (; filled < count; filled++) {
      const input = this.#get(start + filled)?.input
      if (typeof input !== 'number') break
      numbers[filled] = input
    }
    if (filled === count) {
      return {
        payload: { kind: 'f64', values: count > FEW_NUMBERS ? Float64Array.from(numbers) : numbers },
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
      const { input } = call ?? { input: [] }
      if (isPlain(input) || Array.isArray(input)) {
        run.push(isPlain(input) ? [input] : input)
        if (separate) close()
      } else if (wasMoved(input)) {
        skip.push(offset)
        run.push([])
        const error = new EncodeError('args', 'a buffer in it was moved by the first try', MOVED_FIX)
        queueMicrotask(() => this.#reject(start + offset, error))
      } else {
        close()
        lists.push(input)
      }
    }
    close()
    return { payload: { kind: 'any', lists }, skip, owned: false }
  }

  delivered(delivery: Delivery): void {
    const { start, count, attempt, slot, ignore = [] } = delivery
    const { values, failed } = readResults(delivery, this.program)
    const bad = new Set(failed)
    const old = new Set(ignore)
    for (const offset of old) bad.delete(offset)
    const meter = this.#busy?.meter
    if (meter) meter.done += count - old.size - bad.size
    if (failed.length === 0 && old.size === 0) {
      for (let offset = 0; offset < count; offset++) this.#settle(start + offset)?.resolve(values[offset])
      return
    }
    for (let offset = 0; offset < count; offset++) {
      if (old.has(offset)) continue
      if (bad.has(offset)) this.#failed(start + offset, values[offset], attempt, slot)
      else this.#settle(start + offset)?.resolve(values[offset])
    }
  }

  #failed(index: number, thrown: unknown, attempt: number, slot: string): void {
    const call = this.#get(index)
    if (!call) return
    const error = callerError(thrown, this.program, call.site.stack, slot)
    this.#again(index, error, attempt)
  }

  #again(index: number, error: unknown, attempt: number): void {
    const end = this.#retries.failed(index, error, () => this.#job.add(index, index + 1, attempt + 1))
    const meter = this.#busy?.meter
    if (!end) {
      if (meter) meter.retries++
      return
    }
    if (meter) meter.failed++
    this.#reject(index, end.error)
  }

  #reject(index: number, error: unknown): void {
    const call = this.#settle(index)
    if (call) reject(call, error)
  }

  retries(index: number): boolean {
    return this.#retries.has(index)
  }

  lost(start: number, count: number, error: Error, attempt?: number): void {
    const end = Math.min(this.#next, start + count)
    for (let index = Math.max(start, this.#base); index < end; index++) {
      const call = this.#get(index)
      if (!call) continue
      const told = callerError(error, this.program, call.site.stack, '')
      if (attempt !== undefined) this.#again(index, told, attempt)
      else {
        if (this.#busy) this.#busy.meter.failed++
        this.#reject(index, told)
      }
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
    this.#options.signal?.addEventListener('abort', this.#onAbort, { once: true })
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
          return meter.ended ? 'done' : 'running'
        },
        get progress() {
          return snapshot()
        },
      }
    })
  }
}

const reject = ({ resolve }: Call, error: unknown): void => resolve(Promise.reject(error))

const MOVED_FIX =
  'leave transfer() out where a call may be tried again, or make the buffer anew for each call'

/** Whether the buffers that came with `transfer()` are gone: the call was sent before. */
function wasMoved({ transfer = [] }: Encoded): boolean {
  return transfer.some((buffer) => isDetached(buffer))
}

/** `ArrayBuffer.detached` came with Node.js 21. */
function isDetached(buffer: ArrayBuffer): boolean {
  if (buffer.byteLength > 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}

/** Nothing can change it between the call and the moment that it is sent. */
function isPlain(value: unknown): value is Plain {
  return (
    (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') || value === null
  )
}
