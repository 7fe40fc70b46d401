/**
 * Waking a thread that sleeps in its event loop takes the kernel 25 to 60 µs (a virtual machine's core has to be
 * woken first), several times what a lone call costs otherwise. So who expects a message at once does not go to
 * sleep for a moment: the event loop keeps turning, and everything else in it goes on as ever.
 */
import { availableParallelism } from 'node:os'

/** How long it is worth to stay awake, milliseconds: about what waking up costs. */
export const AWAKE_MS = 0.1

/** On a single core, who stays awake is in the way of who answers. */
const WORTHWHILE = availableParallelism() > 1

export class Awake {
  #until = 0
  #turning = false

  stay(): void {
    if (!WORTHWHILE) return
    this.#until = performance.now() + AWAKE_MS
    if (this.#turning) return
    this.#turning = true
    setImmediate(this.#turn)
  }

  /** The message is there. */
  rest(): void {
    this.#until = 0
  }

  #turn = (): void => {
    if (performance.now() < this.#until) setImmediate(this.#turn)
    else this.#turning = false
  }
}
