/** Which tasks of a job have their outcome. */
import type { Outcomes } from './record.ts'

const OPEN = 0
const DONE = 1
const FAILED = 2
/** Failed in an earlier round: it is tried again. */
const AGAIN = 3

export class Settled {
  readonly #tasks: Uint8Array
  readonly #round: number
  done = 0
  failed = 0

  /** @param round failures of earlier ones do not count */
  constructor(total: number, round: number) {
    this.#tasks = new Uint8Array(total)
    this.#round = round
  }

  isOpen(index: number): boolean {
    const state = this.#tasks[index]
    return state === OPEN || state === AGAIN
  }

  /** It failed in an earlier round, and nothing has come since. */
  isAgain(index: number): boolean {
    return this.#tasks[index] === AGAIN
  }

  get hasAgain(): boolean {
    return this.#tasks.includes(AGAIN)
  }

  settle(index: number, failed: boolean): void {
    this.#tasks[index] = failed ? FAILED : DONE
    if (failed) this.failed++
    else this.done++
  }

  /** @param counts called for each outcome that is the final one of its task */
  take({ round, entries }: Outcomes, counts: (entry: number, offset: number, failed: boolean) => void): void {
    entries.forEach(({ start, count, failed, ignore }, at) => {
      const bad = new Set(failed)
      const ignored = new Set(ignore)
      for (let offset = 0; offset < count; offset++) {
        const index = start + offset
        if (ignored.has(offset) || index >= this.#tasks.length || !this.isOpen(index)) continue
        const isBad = bad.has(offset)
        if (isBad && round < this.#round) this.#tasks[index] = AGAIN
        else {
          this.settle(index, isBad)
          counts(at, offset, isBad)
        }
      }
    })
  }

  /** Tasks from `start` to `end` without an outcome. */
  *open(start: number, end: number): Generator<[start: number, end: number], void, undefined> {
    for (let index = start; index < end; index++) {
      if (!this.isOpen(index)) continue
      const from = index
      while (index < end && this.isOpen(index)) index++
      yield [from, index]
    }
  }
}
