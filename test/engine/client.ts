/** The owner of a job, for tests: it has inputs and notes all that the engine tells it. */
import { decode, type Encoded, encodeList } from '../../src/codec/index.ts'
import type { Arguments, Engine, EngineJob, JobClient, TaskSpec } from '../../src/engine/engine.ts'
import type { Delivery } from '../../src/slot/protocol.ts'
import { program } from './programs.ts'

/** What became of one execution of a task. */
export type Event =
  | { index: number; attempt: number; value: unknown }
  | { index: number; attempt: number; failed: unknown }
  | { index: number; lost: Error; attempt: number | undefined }

export interface Setup extends Partial<Omit<TaskSpec, 'program' | 'pool'>> {
  /** Body of the function, see programs.ts. */
  body: string
  inputs: unknown[]
  /** Limit of a slot in bytes. */
  memory?: number
  /** Indexes that are not sent. */
  skip?: number[]
  /** What to do with a failed or lost execution; add again, for example. */
  onEvent?: (event: Event, job: EngineJob) => void
}

export class Client implements JobClient {
  readonly job: EngineJob
  readonly events: Event[] = []
  readonly logs: { index: number; stream: string; text: string }[] = []
  readonly progress: { index: number; value: unknown }[] = []
  /** Offsets of chunks, to see that payloads were cut as asked for. */
  readonly asked: { start: number; count: number; separate: boolean }[] = []
  /** The engine was closed. */
  closed: Error | undefined
  readonly #setup: Setup
  readonly #wakers = new Set<() => void>()

  constructor(engine: Engine, isolation: 'thread' | 'process', setup: Setup) {
    this.#setup = setup
    const { body, memory, inputs: _, skip: __, onEvent: ___, ...spec } = setup
    this.job = engine.submit(
      {
        id: 'job-1',
        name: 'job',
        program: program(body),
        spread: false,
        priority: 0,
        cap: 1000,
        solo: false,
        timeout: undefined,
        concurrency: Infinity,
        crashes: 3,
        pool: { isolation, memory, env: {} },
        ...spec,
      },
      this,
    )
  }

  /** Adds all inputs. */
  addAll(): this {
    this.job.add(0, this.#setup.inputs.length, 1)
    return this
  }

  arguments(start: number, count: number, separate: boolean): Arguments {
    this.asked.push({ start, count, separate })
    const inputs = this.#setup.inputs.slice(start, start + count)
    const skip = (this.#setup.skip ?? []).filter((index) => index >= start && index < start + count)
    const lists: Encoded[] = separate
      ? inputs.map((input) => encodeList([input]).encoded)
      : [encodeList(inputs).encoded]
    return { payload: { kind: 'any', lists }, skip: skip.map((index) => index - start), owned: true }
  }

  delivered({ start, count, attempt, failed, payload, ignore = [] }: Delivery): void {
    const values =
      payload.kind === 'f64' ? payload.values : payload.lists.flatMap((list) => decode(list) as unknown[])
    for (let offset = 0; offset < count; offset++) {
      if (ignore.includes(offset)) continue
      const index = start + offset
      const value = values[offset]
      this.#note(failed.includes(offset) ? { index, attempt, failed: value } : { index, attempt, value })
    }
  }

  lost(start: number, count: number, error: Error, attempt?: number): void {
    if (count === Infinity) {
      this.closed = error
      return this.#wake()
    }
    for (let index = start; index < start + count; index++) this.#note({ index, lost: error, attempt })
  }

  retries(): boolean {
    return false
  }

  log(index: number, stream: 'stdout' | 'stderr', text: string): void {
    this.logs.push({ index, stream, text })
    this.#wake()
  }

  progressed(index: number, value: Encoded): void {
    this.progress.push({ index, value: decode(value) })
    this.#wake()
  }

  #note(event: Event): void {
    this.events.push(event)
    this.#setup.onEvent?.(event, this.job)
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake()
  }

  /** Resolves as soon as the condition holds, and rejects when it has not for 20 s. */
  when(condition: (client: this) => boolean): Promise<this> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#wakers.delete(look)
        reject(new Error(`not seen in 20 s; ${this.events.length} events: ${this.#story()}`))
      }, 20_000)
      const look = (): void => {
        if (!condition(this)) return
        clearTimeout(late)
        this.#wakers.delete(look)
        resolve(this)
      }
      this.#wakers.add(look)
      look()
    })
  }

  /** Resolves when there were `count` events. */
  settled(count = this.#setup.inputs.length): Promise<this> {
    return this.when(() => this.events.length >= count)
  }

  /** Values by index; throws if a task has no value or more than one. */
  values(): unknown[] {
    const values: unknown[] = []
    for (const event of this.events) {
      if (!('value' in event)) throw new Error(`task ${event.index} has no value: ${this.#story()}`)
      if (event.index in values) throw new Error(`task ${event.index} was delivered twice`)
      values[event.index] = event.value
    }
    return values
  }

  /** Executions that the engine could not get a result for. */
  lostTasks(): Extract<Event, { lost: Error }>[] {
    return this.events.filter((event) => 'lost' in event)
  }

  #story(): string {
    const last = this.events.slice(-5)
    return last
      .map((event) => `${event.index} ${'lost' in event ? event.lost : JSON.stringify(event)}`)
      .join('; ')
  }
}
