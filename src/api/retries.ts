/** Tasks that are tried again: how often each has failed, and the pauses in between. */
import { type RetryPolicy, retryDelay } from '../core/retry.ts'

export class Retries {
  readonly #policy: RetryPolicy
  /** Failures so far, of the tasks that are tried again. Slots that died do not count: they have a budget of their own. */
  readonly #failures = new Map<number, number>()
  readonly #pauses = new Map<number, NodeJS.Timeout>()

  constructor(policy: RetryPolicy) {
    this.#policy = policy
  }

  /**
   * The task failed once more: calls `again` after the pause that the policy grants.
   * @returns the error to give up with, undefined when there is another try
   */
  failed(index: number, error: unknown, again: () => void): { error: unknown } | undefined {
    if (this.#policy.count === 0) return { error }
    const failures = (this.#failures.get(index) ?? 0) + 1
    let delay: number | undefined
    try {
      delay = retryDelay(this.#policy, failures, error)
    } catch (thrown) {
      // The user's `when` is broken: that has to be heard of, and no error is more to the point.
      return { error: thrown }
    }
    if (delay === undefined) return { error }
    this.#failures.set(index, failures)
    const go = (): void => {
      this.#pauses.delete(index)
      again()
    }
    if (delay === 0) go()
    else this.#pauses.set(index, setTimeout(go, delay))
    return undefined
  }

  /** How many tasks have failed and are tried again. */
  get size(): number {
    return this.#failures.size
  }

  /** The task has failed and is tried again, now or after its pause. */
  has(index: number): boolean {
    return this.#failures.has(index)
  }

  /** It waits for the end of its pause. */
  pauses(index: number): boolean {
    return this.#pauses.has(index)
  }

  /** The task has its outcome. */
  settled(index: number): void {
    if (this.#failures.size === 0) return
    this.#failures.delete(index)
    clearTimeout(this.#pauses.get(index))
    this.#pauses.delete(index)
  }

  clear(): void {
    for (const pause of this.#pauses.values()) clearTimeout(pause)
    this.#pauses.clear()
    this.#failures.clear()
  }
}
