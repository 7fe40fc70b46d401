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

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>

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
  readonly #iterator: AnyIterator | undefined
  readonly #listener: Listener
  /** Inputs of an iterator whose task has no outcome yet. */
  readonly #kept = new Map<number, unknown>()
  readonly #adapts: boolean
  readonly #least: number
  readonly #startedAt = performance.now()
  #window: number
  #read = 0
  /** Inputs that the listener knows of. */
  #told = 0
  #taken = 0
  #reading = false
  #turn: NodeJS.Immediate | undefined

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
    if (this.#array) return this.#pullArray(this.#array)
    this.#reading = true
    this.#pullIterator(this.#iterator as AnyIterator)
  }

  /** `count` more outcomes have left the job. */
  taken(count: number): void {
    if (this.ended) return
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
    this.#return()
  }

  #return(): void {
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
    this.#read = Math.max(this.#read, Math.min(array.length, this.#read + this.#room))
    this.#tell()
    if (this.#read >= array.length) this.#finish()
  }

  #pullIterator(iterator: AnyIterator): void {
    try {
      while (this.#room > 0) {
        const step = iterator.next()
        if (typeof (step as { then?: unknown }).then === 'function') {
          return this.#await(iterator, step as Promise<IteratorResult<unknown>>)
        }
        if (this.ended) return this.#return() // It cancelled the job itself, and could not be closed while it ran.
        if (this.#accept(step as IteratorResult<unknown>)) return this.#finish()
      }
    } catch (error) {
      return this.#fail(error)
    }
    this.#reading = false
    this.#tell()
  }

  #await(iterator: AnyIterator, step: PromiseLike<IteratorResult<unknown>>): void {
    if (this.#told < this.#read) this.#tellSoon()
    // Promise.resolve: a thenable may call back at once, and a long run of those would use up the stack.
    Promise.resolve(step).then(
      (result) => {
        if (this.ended) return
        try {
          if (this.#accept(result)) return this.#finish()
        } catch (error) {
          return this.#fail(error)
        }
        this.#pullIterator(iterator)
      },
      (error) => this.#fail(error),
    )
  }

  /** Keeps an input; true when there was none left. */
  #accept(step: IteratorResult<unknown>): boolean {
    if (typeof step !== 'object' || step === null)
      throw new TypeError(`Iterator result ${step} is not an object`)
    if (step.done) return true
    this.#kept.set(this.#read++, step.value)
    return false
  }

  #tell(): void {
    const start = this.#told
    this.#told = this.#read
    if (this.#told > start && !this.ended) this.#listener.more(start, this.#told)
  }

  /** The first input of a turn of the event loop goes on at once, those that follow it in the same turn together. */
  #tellSoon(): void {
    if (this.#turn) return
    this.#tell()
    this.#turn = setImmediate(() => {
      this.#turn = undefined
      this.#tell()
    })
  }

  #fail(error: unknown): void {
    if (this.ended) return
    this.error = new InputError(this.#read, error)
    this.#finish()
  }

  #finish(): void {
    if (this.ended) return
    this.#tell()
    // What was told last may have ended the job.
    if (this.ended) return
    this.ended = true
    this.#listener.ended()
  }
}
