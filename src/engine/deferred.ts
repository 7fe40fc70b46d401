/** An engine that is still being opened: jobs may be submitted meanwhile, and begin when it is there. */
import { ClosedError } from '../errors.ts'
import type { Connection } from '../nats/connection.ts'
import type { Engine, EngineJob, JobClient, NodeInfo, TaskSpec } from './engine.ts'

/** What a stream reads ahead before anybody knows how many slots there are depends on this. */
const SLOTS = 16
const NOTHING = { queued: 0, running: 0, slots: 0 }

export class DeferredEngine implements Engine {
  #engine: Engine | undefined
  #failure: Error | undefined
  readonly #opening: Promise<void>
  readonly #why: () => string | undefined
  /** Jobs that are submitted when the engine is there. */
  readonly #begin = new Set<(engine: Engine) => void>()
  readonly #clients = new Set<JobClient>()

  /**
   * @param opening rejects when there will be no engine
   * @param why what opening it waits for
   */
  constructor(opening: Promise<Engine>, why: () => string | undefined) {
    this.#why = why
    this.#opening = opening.then(
      (engine) => this.#opened(engine),
      (error: Error) => this.#fail(error),
    )
  }

  get slots(): number {
    return this.#engine?.slots ?? SLOTS
  }

  warm(): void {}

  nodes(): NodeInfo[] {
    return this.#engine?.nodes?.() ?? []
  }

  waiting(): string | undefined {
    return this.#engine ? this.#engine.waiting?.() : this.#why()
  }

  async connection(): Promise<Connection> {
    await this.#opening
    if (this.#engine?.connection) return this.#engine.connection()
    throw this.#failure ?? new ClosedError()
  }

  submit(spec: TaskSpec, client: JobClient): EngineJob {
    if (this.#engine) return this.#engine.submit(spec, client)
    if (this.#failure) throw this.#failure
    const calls: ((job: EngineJob) => void)[] = []
    let job: EngineJob | undefined
    let queued = 0
    const begin = (engine: Engine): void => {
      job = engine.submit(spec, client)
      for (const call of calls) call(job)
    }
    const later = (call: (job: EngineJob) => void): void => {
      if (job) call(job)
      else calls.push(call)
    }
    const end = (call: (job: EngineJob) => void): void => {
      if (job) return call(job)
      this.#begin.delete(begin)
      this.#clients.delete(client)
    }
    this.#begin.add(begin)
    this.#clients.add(client)
    return {
      add: (start, end, attempt) => {
        if (this.#failure && !job) return client.lost(start, end - start, this.#failure)
        queued += end - start
        later((job) => job.add(start, end, attempt))
      },
      drop: (start, end) => {
        queued -= end - start
        later((job) => job.drop(start, end))
      },
      cancel: () => end((job) => job.cancel()),
      forget: () => end((job) => job.forget()),
      snapshot: () => job?.snapshot() ?? { ...NOTHING, queued },
    }
  }

  async close(): Promise<void> {
    this.#fail(new ClosedError())
    await this.#opening
    await this.#engine?.close()
  }

  #opened(engine: Engine): void {
    this.#engine = engine
    for (const begin of this.#begin) begin(engine)
    this.#begin.clear()
    this.#clients.clear()
  }

  #fail(error: Error): void {
    if (this.#engine || this.#failure) return
    this.#failure = error
    for (const client of this.#clients) client.lost(0, Infinity, error)
    this.#begin.clear()
    this.#clients.clear()
  }
}
