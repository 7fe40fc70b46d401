/**
 * Chunks whose last result is confirmed: when the message that acknowledged one was lost, the queue gives it out
 * again. They are remembered for longer than that takes.
 */
import { ACK_WAIT_MS } from '../nats/settings.ts'
import { keyOf } from './chunk.ts'

const KEEP_MS = 4 * ACK_WAIT_MS

export class Finished {
  /** Two generations, the older of which is forgotten as a whole. */
  #young = new Set<string>()
  #old = new Set<string>()
  #turned = performance.now()

  add(client: string, job: number, chunk: number): void {
    const now = performance.now()
    if (now - this.#turned > KEEP_MS) {
      this.#old = now - this.#turned > 2 * KEEP_MS ? new Set() : this.#young
      this.#young = new Set()
      this.#turned = now
    }
    this.#young.add(keyOf(client, job, chunk))
  }

  has(client: string, job: number, chunk: number): boolean {
    const key = keyOf(client, job, chunk)
    return this.#young.has(key) || this.#old.has(key)
  }
}
