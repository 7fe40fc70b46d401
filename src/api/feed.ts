/**
 * Reads the inputs of a job: an array may be taken whole, everything else lazily, never more ahead than a window
 * of what has not come out at the other end.
 */
import { InputError } from '../errors.ts'
import { type InputArray, isInputArray, iteratorOf } from './inputs.ts'

/** A window that adapts covers this many milliseconds of work, between 4 tasks a slot and MAX_WINDOW. */
const LOOK_AHEAD_MS = 100
const MAX_WINDOW = 10_000

/** How far to read ahead: everything, a fixed number of inputs, or what the pace of the job calls for. */
export type Window = 'all' | 'adapt' | number

interface Listener {
  /** These inputs have been read. */
  more(start: number, end: number): void
  /** There are no more inputs (see `error`). */
  ended(): void
}

export class Feed {
  /** Why reading ended early. */
  error: InputError | undefined
  ended = false
  readonly #array: InputArray | undefined
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown> | undefined
  readonly #listener: Listener
  /** Inputs of an iterator whose task has no outcome yet. */
  readonly #kept = new Map<number, unknown>()
  readonly #adapts: boolean
  readonly #least: number
  readonly #startedAt = performance.now()
  #window: number
  #read = 0
  #taken = 0
  #reading = false

  constructor(inputs: unknown, window: Window, slots: number, listener: Listener) {
    this.#listener = listener
    this.#array = isInputArray(inputs) ? inputs : undefined
    this.#iterator = this.#array ? undefined : iteratorOf(inputs)
    this.#least = 4 * slots
    this.#adapts = typeof window !== 'number'
    this.#window = typeof window === 'number' ? window : this.#least
    if (window === 'all' && this.#array) this.#window = Infinity
  }

  /** Number of inputs, as soon as it is known. */
  get total(): number | undefined {
    return this.#array ? this.#array.length : this.ended ? this.#read : undefined
  }

  /** Reads as far as the window allows. */
  pull(): void {
    if (this.#reading || this.ended) return
    this.#reading = true
    if (this.#array) this.#pullArray(this.#array)
    else this.#pullIterator(this.#iterator as Iterator<unknown>)
  }

  /** `count` more outcomes have left the job. */
  taken(count: number): void {
    this.#taken += count
    if (this.#adapts && this.#window !== Infinity) {
      const perMs = this.#taken / Math.max(1, performance.now() - this.#startedAt)
      this.#window = Math.max(this.#least, Math.min(MAX_WINDOW, Math.ceil(perMs * LOOK_AHEAD_MS)))
    }
    this.pull()
  }

  input(index: number): unknown {
    return this.#array ? this.#array[index] : this.#kept.get(index)
  }

  /** These tasks have their outcome: their inputs are not needed any more. */
  drop(start: number, count: number): void {
    if (this.#array) return
    for (let index = start; index < start + count; index++) this.#kept.delete(index)
  }

  /** Inputs from `start`: they are `values[offset]` and following. */
  values(start: number, count: number): { values: ArrayLike<unknown>; offset: number } {
    if (this.#array) return { values: this.#array, offset: start }
    return { values: Array.from({ length: count }, (_, at) => this.#kept.get(start + at)), offset: 0 }
  }

  /** Reads no more, and lets the iterator clean up. */
  close(): void {
    if (this.ended) return
    this.ended = true
    try {
      // An async iterator may be inside next(); its return() waits for that, and nobody waits for it.
      const returned = this.#iterator?.return?.() as Promise<unknown> | undefined
      returned?.then?.(undefined, () => {})
    } catch {
      // What a generator throws while it is closed has no one left to hear it.
    }
  }

  get #room(): number {
    return this.#window - (this.#read - this.#taken)
  }

  #pullArray(array: InputArray): void {
    const end = Math.min(array.length, this.#read + this.#room)
    const start = this.#read
    this.#read = Math.max(start, end)
    this.#reading = false
    if (end > start) this.#listener.more(start, end)
    if (end >= array.length) this.#finish(undefined)
  }

  #pullIterator(iterator: Iterator<unknown> | AsyncIterator<unknown>): void {
    const start = this.#read
    try {
      while (this.#room > 0) {
        const step = iterator.next() as IteratorResult<unknown> | Promise<IteratorResult<unknown>>
        if (step instanceof Promise || typeof (step as { then?: unknown }).then === 'function') {
          this.#flush(start)
          this.#await(iterator, step as Promise<IteratorResult<unknown>>)
          return
        }
        if (this.#accept(step as IteratorResult<unknown>)) return this.#flush(start, true)
      }
      this.#reading = false
      this.#flush(start)
    } catch (error) {
      this.#flush(start)
      this.#finish(error)
    }
  }

  #await(iterator: Iterator<unknown> | AsyncIterator<unknown>, step: Promise<IteratorResult<unknown>>): void {
    step.then(
      (result) => {
        if (this.ended) return
        const start = this.#read
        if (this.#accept(result)) return this.#flush(start, true)
        this.#flush(start)
        this.#reading = false
        if (!this.ended && this.#room > 0) {
          this.#reading = true
          this.#pullIterator(iterator)
        }
      },
      (error) => this.#finish(error),
    )
  }

  /** Keeps an input; true when there was none left. */
  #accept(step: IteratorResult<unknown>): boolean {
    if (step.done) return true
    this.#kept.set(this.#read++, step.value)
    return false
  }

  #flush(start: number, last = false): void {
    if (this.#read > start && !this.ended) this.#listener.more(start, this.#read)
    if (last) this.#finish(undefined)
  }

  #finish(error: unknown): void {
    if (this.ended) return
    this.ended = true
    if (error !== undefined) this.error = new InputError(this.#read, error)
    this.#listener.ended()
  }
}
