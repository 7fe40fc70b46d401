/** Who is there to take results. A client that is silent for too long is gone, and so is what it wanted. */
import { ALIVE_MS, ORPHAN_MS } from '../nats/settings.ts'

/** Those that are gone are remembered this long: chunks of theirs may still be in the queue. */
const GONE_MS = 600_000
/** A client that was never heard has this long for its first `alive`. */
const UNHEARD_MS = 3 * ALIVE_MS

export class Clients {
  /** When each was heard last, by `performance.now()`. */
  readonly #heard = new Map<string, number>()
  /** When each left or was given up. */
  readonly #gone = new Map<string, number>()
  #looked = performance.now()

  heard(client: string): void {
    this.#gone.delete(client)
    this.#heard.set(client, performance.now())
  }

  /** It has sent work; that is no sign that it lives, the work may be old. If it does, it will say so soon. */
  met(client: string): void {
    if (!this.#heard.has(client)) this.#heard.set(client, performance.now() - ORPHAN_MS + UNHEARD_MS)
  }

  left(client: string): void {
    this.#heard.delete(client)
    this.#gone.set(client, performance.now())
  }

  isGone(client: string): boolean {
    return this.#gone.has(client)
  }

  /** We could not hear anybody: everybody has all the time again. */
  amnesty(): void {
    const now = performance.now()
    for (const client of this.#heard.keys()) this.#heard.set(client, now)
    this.#looked = now
  }

  /**
   * Those that were silent for too long, each once. To be called about every second: when it was not, this process
   * was stopped, and what they said meanwhile is still to be read.
   */
  orphaned(): string[] {
    const now = performance.now()
    if (now - this.#looked > ALIVE_MS * 2) this.amnesty()
    this.#looked = now
    for (const [client, at] of this.#gone) if (now - at > GONE_MS) this.#gone.delete(client)
    const silent: string[] = []
    for (const [client, at] of this.#heard) {
      if (now - at <= ORPHAN_MS) continue
      this.left(client)
      silent.push(client)
    }
    return silent
  }
}
