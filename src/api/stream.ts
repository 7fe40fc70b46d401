/** Results as they complete: a view of a batch that reads inputs only as fast as results are taken. */
import { Batch, type Failure, type Sink } from './batch.ts'
import { announce, newJobId } from './channel.ts'
import type { Item, JobParts } from './job.ts'

/** A result, or (with `settled`) a failure. */
type Entry<I, R> = Item<I, R> & { failed?: true; error?: unknown }

/**
 * Runs the inputs and yields results; the job is cancelled when the consumer stops early. Nothing begins before
 * the first result is asked for.
 *
 * @param parts see Job
 * @param buffer most inputs read and not yet yielded; undefined to adapt
 */
export async function* streamItems<I, R>(
  parts: JobParts,
  inputs: unknown,
  ordered: boolean,
  buffer: number | undefined,
): AsyncGenerator<Entry<I, R>, void, undefined> {
  const { engine, name, program, options, bail, site } = parts
  const queue = new Queue<I, R>(ordered, (index) => batch.input(index) as I)
  const settings = { options, bail, drain: true, window: buffer ?? ('adapt' as const), site }
  const batch: Batch = new Batch(engine, name, inputs, newJobId(name), settings, queue)
  const done = queue.whenEnded
  announce(() => ({
    id: batch.id,
    name,
    done,
    get state() {
      return batch.state
    },
    get progress() {
      return batch.progress
    },
  }))
  batch.start(program)
  try {
    for (;;) {
      const items = await queue.take()
      if (!items) break
      for (const item of items) {
        yield item
        batch.taken(1)
      }
    }
    if (queue.failure) throw queue.failure.error
  } finally {
    batch.cancel('the consumer of the stream stopped')
  }
}

class Queue<I, R> implements Sink {
  failure: Failure | undefined
  readonly whenEnded: Promise<void>
  #ready: Entry<I, R>[] = []
  /** Ordered only: what came before its turn, by index. */
  readonly #early = new Map<number, Entry<I, R>>()
  readonly #ordered: boolean
  readonly #input: (index: number) => I
  #next = 0
  #over = false
  #end: () => void = () => {}
  #wake: (() => void) | undefined

  constructor(ordered: boolean, input: (index: number) => I) {
    this.#ordered = ordered
    this.#input = input
    this.whenEnded = new Promise((resolve) => (this.#end = resolve))
  }

  results(start: number, values: ArrayLike<unknown>, count: number): void {
    for (let at = 0; at < count; at++) {
      const index = start + at
      this.#put({ index, input: this.#input(index), value: values[at] as R })
    }
  }

  failed(index: number, error: unknown): void {
    this.#put({ index, input: this.#input(index), value: undefined as R, failed: true, error })
  }

  ended(failure: Failure | undefined): void {
    this.failure = failure
    this.#over = true
    this.#end()
    this.#wake?.()
  }

  /** All that is ready; undefined when there will be no more. */
  async take(): Promise<Entry<I, R>[] | undefined> {
    while (this.#ready.length === 0) {
      if (this.#over) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
    const items = this.#ready
    this.#ready = []
    return items
  }

  #put(entry: Entry<I, R>): void {
    if (!this.#ordered) this.#ready.push(entry)
    else {
      this.#early.set(entry.index, entry)
      for (let next = this.#early.get(this.#next); next; next = this.#early.get(this.#next)) {
        this.#early.delete(this.#next++)
        this.#ready.push(next)
      }
    }
    if (this.#ready.length > 0) this.#wake?.()
  }
}
