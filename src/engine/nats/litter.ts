/**
 * Arguments and results in the object store that are not needed any more. They are removed when nobody has referred to
 * them for a while: equal bytes have one name, and whoever is about to refer to them has seen that they are there.
 */
import type { Blobs } from '../../nats/blobs.ts'
import type { BlobRef } from '../../nats/messages.ts'

const QUIET_MS = 10_000
/** Longest time that the end of a program waits for this. */
const CLEAR_MS = 2000

interface Item {
  ref: BlobRef
  /** Those who need it. */
  uses: number
  /** When it was last referred to, `performance.now()`. */
  at: number
}

export class Litter {
  readonly #blobs: Blobs
  readonly #items = new Map<string, Item>()

  constructor(blobs: Blobs) {
    this.#blobs = blobs
  }

  /** It is needed, until as many calls of `release`. */
  use(ref: BlobRef): void {
    const item = this.#items.get(ref.hash)
    if (item) {
      item.uses++
      item.at = performance.now()
    } else this.#items.set(ref.hash, { ref, uses: 1, at: performance.now() })
  }

  release(ref: BlobRef): void {
    const item = this.#items.get(ref.hash)
    if (!item) return
    item.uses--
    item.at = performance.now()
  }

  /** Removes what is old; where that fails, it expires. */
  sweep(now: number): void {
    for (const [hash, { ref, uses, at }] of this.#items) {
      if (uses > 0 || now - at < QUIET_MS) continue
      this.#items.delete(hash)
      this.#blobs.remove(ref).catch(() => {})
    }
  }

  /** Removes all of it, as far as that goes in a moment: nothing will be referred to any more. */
  async clear(): Promise<void> {
    const refs = Array.from(this.#items.values(), ({ ref }) => ref)
    this.#items.clear()
    if (refs.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((resolve) => (timer = setTimeout(resolve, CLEAR_MS)))
    await Promise.race([Promise.allSettled(refs.map((ref) => this.#blobs.remove(ref))), late])
    clearTimeout(timer)
  }
}
