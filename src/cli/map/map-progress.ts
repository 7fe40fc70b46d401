import type { Snapshot } from '../../progress/index.ts'

/** The speed is measured over so long, so that it follows a change but does not jump. Milliseconds. */
const WINDOW = 10_000

/** Counts what has become of the records, and guesses when it will be over. */
export class MapProgress {
  done = 0
  failed = 0
  /** Set once the input has ended. */
  total: number | undefined
  /** How many records the input seems to have, from its size; undefined when nobody knows. */
  estimate: () => number | undefined = () => undefined
  /** What the engine says. */
  engine: () => { running: number; slots: number } = () => ({ running: 0, slots: 0 })
  readonly #began = performance.now()
  #earlier = { done: 0, failed: 0 }
  #samples: [time: number, finished: number][] = []

  /** Records that an earlier run has finished. */
  resume(done: number, failed: number): void {
    this.done = done
    this.failed = failed
    this.#earlier = { done, failed }
  }

  /** Records that an earlier run had finished. */
  get earlier(): number {
    return this.#earlier.done + this.#earlier.failed
  }

  /** What this run alone has finished. */
  get inThisRun(): { done: number; failed: number } {
    return { done: this.done - this.#earlier.done, failed: this.failed - this.#earlier.failed }
  }

  get snapshot(): Snapshot {
    const now = performance.now()
    const finished = this.done + this.failed
    const total = this.total ?? this.estimate()
    const rate = this.#rate(now, finished)
    const left = total === undefined ? undefined : Math.max(0, total - finished)
    return {
      total: total === undefined ? undefined : Math.max(total, finished),
      approximate: this.total === undefined,
      done: this.done,
      failed: this.failed,
      ...this.engine(),
      rate,
      etaMs: left === undefined || rate === 0 ? undefined : (left / rate) * 1000,
      elapsedMs: now - this.#began,
    }
  }

  #rate(now: number, finished: number): number {
    if (this.#samples.length === 0) this.#samples.push([this.#began, this.earlier])
    const newest = this.#samples.at(-1)
    if (newest && now - newest[0] >= 250) this.#samples.push([now, finished])
    while (this.#samples.length > 2 && now - (this.#samples[1]?.[0] ?? now) > WINDOW) this.#samples.shift()
    const [time, count] = this.#samples[0] ?? [now, finished]
    return now > time ? ((finished - count) / (now - time)) * 1000 : 0
  }
}
