/** How far a job is. */

export interface Progress {
  /** Number of tasks; undefined while inputs are still being read. */
  total: number | undefined
  /** Tasks that have a result. */
  done: number
  /** Tasks that ended with an error. */
  failed: number
  running: number
  queued: number
  /** Executions after the first one of a task. */
  retries: number
  /** Slots that work for the job now. */
  slots: number
  /** Tasks that ended per second, lately. */
  rate: number
  /** Milliseconds until the end at this rate; undefined when nobody can know. */
  etaMs: number | undefined
  elapsedMs: number
}

/** Samples are at least this far apart, and this many of them make "lately": ten seconds. */
const SAMPLE_MS = 500
const SAMPLES = 20

/** Counts what happens in a job. */
export class Meter {
  readonly startedAt = performance.now()
  done = 0
  failed = 0
  retries = 0
  #endedAt: number | undefined
  #samples: { at: number; ended: number }[] = [{ at: this.startedAt, ended: 0 }]

  get ended(): boolean {
    return this.#endedAt !== undefined
  }

  end(): void {
    this.#endedAt ??= performance.now()
  }

  snapshot(total: number | undefined, now: { queued: number; running: number; slots: number }): Progress {
    const at = this.#endedAt ?? performance.now()
    const ended = this.done + this.failed
    const elapsedMs = at - this.startedAt
    // When it is over, the rate of the whole; before, of the last seconds.
    const since = this.#endedAt === undefined ? this.#sample(at, ended) : { at: this.startedAt, ended: 0 }
    const rate = at > since.at ? ((ended - since.ended) / (at - since.at)) * 1000 : 0
    const left = total === undefined ? undefined : total - ended
    const etaMs =
      left === undefined ? undefined : left === 0 ? 0 : rate > 0 ? (left / rate) * 1000 : undefined
    return {
      total,
      done: this.done,
      failed: this.failed,
      retries: this.retries,
      rate,
      etaMs,
      elapsedMs,
      ...now,
    }
  }

  #sample(at: number, ended: number): { at: number; ended: number } {
    const last = this.#samples[this.#samples.length - 1]
    if (last && at - last.at > SAMPLE_MS) {
      this.#samples.push({ at, ended })
      if (this.#samples.length > SAMPLES) this.#samples.shift()
    }
    return this.#samples[0] as { at: number; ended: number }
  }
}
