/** When a task that threw is tried again. Pure: the caller keeps the attempts and the clock. */

export interface RetryPolicy {
  /** Executions after the first one. @default 0 */
  count: number
  /** Whether an error is worth another try. @default every error */
  when?: ((error: unknown) => boolean) | undefined
  /** Milliseconds before the first retry. @default 0 */
  delay: number
  /** What the delay is multiplied by after each retry. @default 2 */
  factor: number
  /** Longest delay, milliseconds. @default 30000 */
  maxDelay: number
}

export const NO_RETRY: RetryPolicy = { count: 0, delay: 0, factor: 2, maxDelay: 30_000 }

/**
 * Milliseconds until the next attempt, or undefined when the error is final.
 * @param attempt the execution that failed, from 1
 */
export function retryDelay(policy: RetryPolicy, attempt: number, error: unknown): number | undefined {
  if (attempt > policy.count) return undefined
  if (policy.when && !policy.when(error)) return undefined
  return Math.min(policy.delay * policy.factor ** (attempt - 1), policy.maxDelay)
}
