import { statSync } from 'node:fs'
import { refresh } from './cluster.ts'
import { filesOf, readState } from './state.ts'
import { nextExpiry } from './tokens.ts'

/** The latest that a token is let in after its time; the clients' own clocks stop them earlier. */
const CHECK_MS = 1000

/**
 * Cuts off whoever has an expired token, as long as the cluster runs: nats-server knows no end of a key.
 * @returns what ends this
 */
export function watchExpiry(dir: string, onError: (error: Error) => void): () => void {
  const files = filesOf(dir)
  const changedAt = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  let known = -1
  let next = Infinity
  const check = async () => {
    const changed = changedAt(files.state)
    if (changed !== known) {
      const state = readState(dir)
      // Those that had ended when the configuration was written are not in it.
      next = state ? nextExpiry(state, changedAt(files.config)) : Infinity
      known = changed
    }
    if (next > Date.now()) return
    await refresh(dir)
    known = -1
  }
  let busy = false
  const timer = setInterval(() => {
    if (busy) return
    busy = true
    check()
      .catch(onError)
      .finally(() => {
        busy = false
      })
  }, CHECK_MS)
  return () => clearInterval(timer)
}
