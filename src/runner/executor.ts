/**
 * Runs chunks, one task after the other. Between tasks it looks at the clock now and then: every few
 * milliseconds it lets messages in, now and then it reports what is done, and it stops if the rest was asked back or aborted.
 */
import { CancelledError, LoadError } from '../errors.ts'
import { AWAKE_MS, Awake } from '../slot/awake.ts'
import type { Payload, RunMessage } from '../slot/protocol.ts'
import { leaveTask, outsideTasks, runInTask, type TaskContext } from './context.ts'
import type { Port } from './port.ts'
import type { LoadedProgram, Programs } from './programs.ts'
import { decodePayload, encodeResults } from './results.ts'

/**
 * Milliseconds of tasks between two looks at the mailbox: more than a chunk takes, whose report is a look too. Of long
 * chunks a part, since a look is a turn of the event loop, about 0.1 ms; such chunks come while much work waits. One
 * that is longer than any that is made took somebody by surprise: its rest may soon be asked back.
 */
const SLICE_MS = 12
const SLICE_PART = 1 / 6
const SLICE_MOST_MS = 40
const SURPRISE_MS = 400
/** Milliseconds of tasks whose results travel together, unless the chunk ends before. */
const REPORT_MS = 400

/** Time between two lone calls, waking up included, in which it is worth to stay awake for the next one. */
const CLOSELY_MS = 2 * AWAKE_MS

type Pause = PromiseLike<unknown> | 'look' | 'over'

interface Chunk {
  run: RunMessage
  context: TaskContext
  /** Offset of the next task. */
  next: number
  /** Offset of the first task that is not reported yet; `results` begins there. */
  reported: number
  results: unknown[]
  /** Numbers in, numbers out: where results go until one is no number. By offset within the chunk. */
  numbers: Float64Array | undefined
  failed: number[]
  begunAt: number
  /** When the tasks that are not reported yet began. */
  startedAt: number
  sliceAt: number
  /** Tasks between two looks at the clock; grows while tasks prove to be tiny. */
  stride: number
  giveBack: boolean
  aborted: string | undefined
}

export class Executor {
  readonly #port: Port
  readonly #programs: Programs
  readonly #queue: Chunk[] = []
  readonly #running = new Map<number, Chunk>()
  readonly #awake = new Awake()
  #finishedAt = 0
  /** The last lone call followed the one before within CLOSELY_MS. */
  #closely = false

  constructor(port: Port, programs: Programs) {
    this.#port = port
    this.#programs = programs
  }

  run(run: RunMessage): void {
    this.#awake.rest()
    if (run.alone) this.#closely = performance.now() - this.#finishedAt < CLOSELY_MS
    // Numbers are the only argument of their task each.
    if (run.payload.kind === 'f64') run.spread = false
    const context: TaskContext = { run, offset: 0, controller: undefined, pending: 0 }
    this.#queue.push({
      run,
      context,
      next: 0,
      reported: 0,
      results: [],
      numbers: undefined,
      failed: [],
      begunAt: 0,
      startedAt: 0,
      sliceAt: 0,
      stride: run.count < 64 ? 1 : 16,
      giveBack: false,
      aborted: undefined,
    })
    this.#pump()
  }

  /** Another slot idles: what has not begun goes back, at once if it is a whole chunk. */
  giveBack(id: number): void {
    const chunk = this.#running.get(id)
    if (chunk) chunk.giveBack = true
    else this.#return(id)
  }

  abort(id: number, reason: string): void {
    const chunk = this.#running.get(id)
    if (!chunk) return this.#return(id)
    chunk.aborted = reason
    // Made even if nobody has asked for it yet: who asks later finds it aborted.
    chunk.context.controller ??= new AbortController()
    chunk.context.controller.abort(new CancelledError(reason))
  }

  /** The chunk's task waits for `change` more (or fewer) nested tasks: while it waits, other chunks may run. */
  waiting(context: TaskContext, change: number): void {
    const before = context.pending
    context.pending += change
    if (before > 0 === context.pending > 0 || !this.#running.has(context.run.chunk)) return
    this.#port.send({ type: 'waiting', chunk: context.run.chunk, yes: context.pending > 0 })
    // Later: we are inside the code of a task, and what begins now is none of its business.
    if (context.pending > 0) outsideTasks(() => queueMicrotask(() => this.#pump()))
  }

  #return(id: number): void {
    const at = this.#queue.findIndex((chunk) => chunk.run.chunk === id)
    if (at < 0) return
    const [chunk] = this.#queue.splice(at, 1)
    this.#report(chunk as Chunk, true, undefined)
  }

  #pump(): void {
    for (const chunk of this.#running.values()) if (chunk.context.pending === 0) return
    const chunk = this.#queue.shift()
    if (chunk) this.#start(chunk)
  }

  #start(chunk: Chunk): void {
    this.#running.set(chunk.run.chunk, chunk)
    const program = this.#programs.get(chunk.run.program)
    if (program instanceof Promise) program.then((loaded) => this.#begin(chunk, loaded))
    else this.#begin(chunk, program)
  }

  #begin(chunk: Chunk, program: LoadedProgram | LoadError): void {
    if (chunk.run.timed) this.#port.send({ type: 'begun', chunk: chunk.run.chunk })
    chunk.begunAt = chunk.startedAt = chunk.sliceAt = performance.now()
    if (program instanceof LoadError) return this.#failAll(chunk, program)
    let values: ArrayLike<unknown>
    try {
      values = decodePayload(chunk.run.payload, program)
    } catch (error) {
      return this.#failAll(chunk, error)
    }
    if (values instanceof Float64Array && chunk.run.skip.length === 0)
      chunk.numbers = new Float64Array(chunk.run.count)
    this.#continue(chunk, program, values)
  }

  /** Runs tasks until the chunk is over (returns) or something has to be awaited (comes back later). */
  #continue(chunk: Chunk, program: LoadedProgram, values: ArrayLike<unknown>): void {
    for (;;) {
      if (chunk.aborted !== undefined) return this.#finish(chunk, program)
      const pause = this.#slice(chunk, program, values)
      if (pause === 'over') return this.#finish(chunk, program)
      if (pause === 'look') {
        if (performance.now() - chunk.startedAt > REPORT_MS) this.#report(chunk, false, program)
        setImmediate(() => {
          chunk.sliceAt = performance.now()
          this.#continue(chunk, program, values)
        })
        return
      }
      if (pause) {
        const settle = (error: boolean, value: unknown): void => {
          unpack(chunk)
          if (error) chunk.failed.push(chunk.results.length)
          chunk.results.push(value)
          chunk.next++
          this.#continue(chunk, program, values)
        }
        pause.then(
          (value) => settle(false, value),
          (error) => settle(true, error),
        )
        return
      }
    }
  }

  /** One stride of tasks. Returns a thenable to wait for, 'look' when it is time, 'over', or undefined to go on. */
  #slice(chunk: Chunk, program: LoadedProgram, values: ArrayLike<unknown>): Pause | undefined {
    try {
      const plain = program.asynchronous === false && chunk.run.skip.length === 0
      if (!plain) unpack(chunk)
      const late = !plain
        ? this.#runWatched(chunk, program, values)
        : chunk.numbers
          ? this.#runNumbers(chunk, program, values as Float64Array, chunk.numbers)
          : this.#runPlain(chunk, program, values)
      if (late) {
        program.asynchronous = true
        return late
      }
    } catch (error) {
      unpack(chunk)
      chunk.failed.push(chunk.results.length)
      chunk.results.push(error)
      chunk.next++
    }
    return chunk.next >= chunk.run.count ? 'over' : this.#look(chunk)
  }

  /** The hottest loop: numbers in, numbers out, until a result is something else. */
  #runNumbers(
    chunk: Chunk,
    program: LoadedProgram,
    values: Float64Array,
    out: Float64Array,
  ): PromiseLike<unknown> | undefined {
    const { context } = chunk
    const { fn } = program
    const end = Math.min(chunk.run.count, chunk.next + chunk.stride)
    let i = chunk.next
    let other: unknown
    runInTask(context, false, () => {
      try {
        for (; i < end; i++) {
          context.offset = i
          context.controller = undefined
          const result = fn(asWritten(values[i]))
          if (typeof result !== 'number') {
            other = result
            return
          }
          out[i] = result
        }
      } finally {
        chunk.next = i
      }
    })
    if (i === end) return undefined
    unpack(chunk)
    if (isThenable(other)) return other
    chunk.results.push(other)
    chunk.next++
    return undefined
  }

  /** The hot loop: a synchronous function, nothing to skip. */
  #runPlain(
    chunk: Chunk,
    program: LoadedProgram,
    values: ArrayLike<unknown>,
  ): PromiseLike<unknown> | undefined {
    const { run, context, results } = chunk
    const { fn } = program
    const { spread } = run
    const end = Math.min(run.count, chunk.next + chunk.stride)
    let i = chunk.next
    let late: PromiseLike<unknown> | undefined
    runInTask(context, false, () => {
      try {
        for (; i < end; i++) {
          context.offset = i
          context.controller = undefined
          const result = spread ? fn(...(values[i] as unknown[])) : fn(asWritten(values[i]))
          if (typeof result === 'object' && isThenable(result)) {
            late = result
            return
          }
          results.push(result)
        }
      } finally {
        chunk.next = i
      }
    })
    return late
  }

  /** The same for functions that may return promises: each runs in a context of its own. */
  #runWatched(
    chunk: Chunk,
    program: LoadedProgram,
    values: ArrayLike<unknown>,
  ): PromiseLike<unknown> | undefined {
    const { run, context, results } = chunk
    const { fn } = program
    const end = Math.min(run.count, chunk.next + chunk.stride)
    for (; chunk.next < end; chunk.next++) {
      const i = chunk.next
      context.offset = i
      context.controller = undefined
      if (run.skip.includes(i)) {
        results.push(undefined)
        continue
      }
      const result = runInTask(context, true, () =>
        run.spread ? fn(...(values[i] as unknown[])) : fn(asWritten(values[i])),
      )
      if (isThenable(result)) return result
      program.asynchronous ??= false
      results.push(result)
    }
    return undefined
  }

  #look(chunk: Chunk): 'look' | 'over' | undefined {
    const now = performance.now()
    if (chunk.stride > 1 && now - chunk.sliceAt < SLICE_MS / 16)
      chunk.stride = Math.min(chunk.stride * 2, 4096)
    if (chunk.aborted !== undefined) return 'over'
    if (chunk.giveBack && now - chunk.begunAt > SLICE_MS) return 'over'
    const expected = ((now - chunk.begunAt) / chunk.next) * chunk.run.count
    const part = expected > SURPRISE_MS ? 0 : SLICE_PART * expected
    const slice = Math.min(Math.max(SLICE_MS, part), SLICE_MOST_MS)
    return now - chunk.sliceAt > slice ? 'look' : undefined
  }

  #finish(chunk: Chunk, program: LoadedProgram): void {
    leaveTask(chunk.context)
    this.#running.delete(chunk.run.chunk)
    this.#report(chunk, true, program)
    this.#pump()
    if (chunk.run.alone) this.#idle()
  }

  /** Lone calls that follow each other closely do not find the slot asleep. */
  #idle(): void {
    this.#finishedAt = performance.now()
    if (this.#closely) this.#awake.stay()
  }

  #failAll(chunk: Chunk, error: unknown): void {
    chunk.results = Array.from({ length: chunk.run.count }, () => error)
    chunk.failed = chunk.results.map((_, offset) => offset)
    chunk.next = chunk.run.count
    this.#running.delete(chunk.run.chunk)
    this.#report(chunk, true, undefined)
    this.#pump()
  }

  #report(chunk: Chunk, last: boolean, program: LoadedProgram | undefined): void {
    const { results, failed, numbers } = chunk
    const now = performance.now()
    const count = numbers ? chunk.next - chunk.reported : results.length
    const payload: Payload = numbers
      ? {
          kind: 'f64',
          values: count === numbers.length ? numbers : numbers.slice(chunk.reported, chunk.next),
        }
      : encodeResults(results, failed, program, this.#port)
    this.#port.send({
      type: 'done',
      chunk: chunk.run.chunk,
      from: chunk.reported,
      count,
      failed,
      last,
      ms: count > 0 ? now - chunk.startedAt : 0,
      payload,
    })
    chunk.startedAt = now
    chunk.reported += count
    chunk.results = []
    chunk.failed = []
  }
}

/** Results are no longer all numbers: those that there are move to the general list. */
function unpack(chunk: Chunk): void {
  if (!chunk.numbers) return
  chunk.results = Array.from(chunk.numbers.subarray(chunk.reported, chunk.next))
  chunk.numbers = undefined
}

/**
 * What comes out of a Float64Array is a double to V8, and code that counts with one is compiled for doubles: a loop up
 * to it takes 3 to 15 % longer. The caller passed an integer, and so do we. (-0 is none.)
 */
function asWritten(value: unknown): unknown {
  if (typeof value !== 'number') return value
  const integer = value | 0
  return integer === value && (integer !== 0 || 1 / value > 0) ? integer : value
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function'
  )
}
