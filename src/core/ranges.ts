/**
 * The queue of one job: task indexes as ranges, so that a job of a million tasks is one entry and not a million.
 */

/** Tasks `start` (inclusive) to `end` (exclusive), all to be executed for the `attempt`th time (from 1). */
export interface Range {
  start: number
  end: number
  attempt: number
  /** Each task travels alone: its neighbours must not be blamed, or it may have to be stopped by itself. */
  solo: boolean
  /** No chunk has tasks of this range and of another one: their results are told apart. */
  apart?: boolean | undefined
}

export class RangeQueue {
  #ranges: Range[] = []
  #head = 0
  #length = 0

  /** Number of tasks in the queue. */
  get length(): number {
    return this.#length
  }

  push(range: Range): void {
    if (range.end <= range.start) return
    this.#length += range.end - range.start
    const last = this.#ranges.length > this.#head ? this.#ranges[this.#ranges.length - 1] : undefined
    if (last && last.end === range.start && joins(last, range)) {
      last.end = range.end
    } else {
      this.#ranges.push(range)
    }
  }

  /** Puts tasks back in front: what was given back or has to be tried again goes before what never began. */
  unshift(range: Range): void {
    if (range.end <= range.start) return
    this.#length += range.end - range.start
    if (this.#head > 0) this.#ranges[--this.#head] = range
    else this.#ranges.unshift(range)
  }

  /** Attempt and solo flag of the task that `take` would return first. */
  peek(): Range | undefined {
    return this.#length > 0 ? this.#ranges[this.#head] : undefined
  }

  /** Removes up to `count` consecutive tasks of one attempt from the front. */
  take(count: number): Range | undefined {
    const first = this.peek()
    if (!first) return undefined
    const end = first.solo ? first.start + 1 : Math.min(first.end, first.start + count)
    const taken = { start: first.start, end, attempt: first.attempt, solo: first.solo }
    this.#length -= end - first.start
    if (end < first.end) {
      first.start = end
    } else {
      this.#ranges[this.#head] = undefined as never
      this.#head++
      // Compact rarely: Array.shift would make draining quadratic.
      if (this.#head > 64 && this.#head * 2 > this.#ranges.length) {
        this.#ranges = this.#ranges.slice(this.#head)
        this.#head = 0
      }
    }
    return taken
  }

  /** Removes those of the tasks `start` to `end` that are in the queue. */
  remove(start: number, end: number): void {
    const kept: Range[] = []
    for (const range of this.#ranges.slice(this.#head)) {
      const from = Math.max(start, range.start)
      const to = Math.min(end, range.end)
      if (from >= to) {
        kept.push(range)
        continue
      }
      this.#length -= to - from
      if (range.start < from) kept.push({ ...range, end: from })
      if (to < range.end) kept.push({ ...range, start: to })
    }
    this.#ranges = kept
    this.#head = 0
  }

  clear(): Range[] {
    const left = this.#ranges.slice(this.#head)
    this.#ranges = []
    this.#head = 0
    this.#length = 0
    return left
  }
}

function joins(a: Range, b: Range): boolean {
  return a.attempt === b.attempt && a.solo === b.solo && !a.apart && !b.apart
}
