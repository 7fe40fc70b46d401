/**
 * What waits in the ledger: task indexes as spans, so that a job of a million tasks is one entry and not a million.
 */

/** Tasks `start` (inclusive) to `end` (exclusive) that have the same history. */
export interface Span {
  start: number
  end: number
  /** The execution that comes next, from 1. */
  attempt: number
  /** Each task travels alone. */
  solo: boolean
  /** Nodes that were lost with these tasks. */
  losses: number
  /** Results of chunks with a smaller number are of an earlier execution that was settled. */
  since: number
}

export class Backlog {
  #spans: Span[] = []
  #head = 0
  #length = 0

  /** Number of tasks. */
  get length(): number {
    return this.#length
  }

  push(span: Span): void {
    if (span.end <= span.start) return
    this.#length += span.end - span.start
    const last = this.#spans.length > this.#head ? this.#spans[this.#spans.length - 1] : undefined
    if (last && last.end === span.start && alike(last, span)) last.end = span.end
    else this.#spans.push(span)
  }

  /** Puts tasks in front: what was sent before goes before what never was. */
  unshift(span: Span): void {
    if (span.end <= span.start) return
    this.#length += span.end - span.start
    const first = this.#spans[this.#head]
    if (first && span.end === first.start && alike(first, span)) first.start = span.start
    else if (this.#head > 0) this.#spans[--this.#head] = span
    else this.#spans.unshift(span)
  }

  /** The tasks of which `take` returns the first. */
  peek(): Readonly<Span> | undefined {
    return this.#spans[this.#head]
  }

  /** Removes up to `count` tasks with one history from the front. */
  take(count: number): Span | undefined {
    const first = this.#spans[this.#head]
    if (!first) return undefined
    const end = first.solo ? first.start + 1 : Math.min(first.end, first.start + count)
    const taken = { ...first, end }
    this.#length -= end - first.start
    if (end < first.end) first.start = end
    else this.#dropFirst()
    return taken
  }

  /** Whether any of these tasks is here. */
  touches(start: number, end: number): boolean {
    for (let at = this.#head; at < this.#spans.length; at++) {
      const span = this.#spans[at] as Span
      if (span.start < end && start < span.end) return true
    }
    return false
  }

  /**
   * Removes those of the tasks `start` to `end` that are here and not newer than `chunk`.
   * @returns the spans that were removed
   */
  remove(start: number, end: number, chunk = Infinity): Span[] {
    if (this.#length === 0) return []
    const kept: Span[] = []
    const removed: Span[] = []
    for (const span of this.#spans.slice(this.#head)) {
      const from = Math.max(start, span.start)
      const to = Math.min(end, span.end)
      if (from >= to || span.since > chunk) {
        kept.push(span)
        continue
      }
      this.#length -= to - from
      removed.push({ ...span, start: from, end: to })
      if (span.start < from) kept.push({ ...span, end: from })
      if (to < span.end) kept.push({ ...span, start: to })
    }
    if (removed.length === 0) return removed
    this.#spans = kept
    this.#head = 0
    return removed
  }

  clear(): void {
    this.#spans = []
    this.#head = 0
    this.#length = 0
  }

  #dropFirst(): void {
    this.#spans[this.#head++] = undefined as never
    // Rarely: Array.shift would make draining quadratic.
    if (this.#head <= 64 || this.#head * 2 <= this.#spans.length) return
    this.#spans = this.#spans.slice(this.#head)
    this.#head = 0
  }
}

function alike(a: Span, b: Span): boolean {
  return a.attempt === b.attempt && a.solo === b.solo && a.losses === b.losses && a.since === b.since
}
