/** An engine that notes all that is asked of another one, and all that it answers. */
import type { Engine, EngineJob, JobClient, TaskSpec } from '../../src/engine/engine.ts'
import type { SlotKind } from '../../src/slot/protocol.ts'
import type { HistoryWriter } from './history.ts'

export class RecordingEngine implements Engine {
  readonly #engine: Engine
  readonly #history: HistoryWriter
  #runs = 0

  constructor(engine: Engine, history: HistoryWriter) {
    this.#engine = engine
    this.#history = history
  }

  get slots(): number {
    return this.#engine.slots
  }

  warm(kind: SlotKind): void {
    this.#engine.warm(kind)
  }

  async connection(): ReturnType<NonNullable<Engine['connection']>> {
    if (!this.#engine.connection) throw new Error('not an engine of a cluster')
    return this.#engine.connection()
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  /** Jobs are named after their number in the plan: `j12`. */
  submit(spec: TaskSpec, client: JobClient): EngineJob {
    const job = Number(spec.name.slice(1))
    const run = this.#runs++
    const history = this.#history
    const inner = this.#engine.submit(spec, {
      arguments: (start, count, separate) => client.arguments(start, count, separate),
      delivered(delivery) {
        const { start, count, attempt, failed, ignore = [], slot } = delivery
        history.note({
          e: 'delivered',
          job,
          run,
          start,
          count,
          attempt,
          failed: [...failed],
          ignore: [...ignore],
          slot,
        })
        client.delivered(delivery)
      },
      lost(start, count, error, attempt) {
        history.note({ e: 'lost', job, run, start, count, error: `${error.name}: ${error.message}` })
        client.lost(start, count, error, attempt)
      },
      retries: (index) => client.retries(index),
      log: (index, stream, text) => client.log(index, stream, text),
      progressed: (index, value) => client.progressed(index, value),
    })
    const recorded: EngineJob = {
      add(start, end, attempt) {
        history.note({ e: 'add', job, run, start, end, attempt })
        inner.add(start, end, attempt)
      },
      drop(start, end) {
        history.note({ e: 'drop', job, run, start, end })
        inner.drop(start, end)
      },
      cancel() {
        history.note({ e: 'cancel', job, run })
        inner.cancel()
      },
      forget() {
        history.note({ e: 'forget', job, run })
        inner.forget()
      },
      snapshot: () => inner.snapshot(),
    }
    if (inner.asked) recorded.asked = (index) => inner.asked?.(index)
    return recorded
  }
}
