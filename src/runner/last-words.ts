/** What a slot still says when a task ends it: an uncaught error, a signal to itself, exit. */
import { inspect } from 'node:util'
import { encode } from '../codec/index.ts'
import type { Port } from './port.ts'

/** Signals that end nothing. */
const HARMLESS: readonly unknown[] = [0, 'SIGCONT', 'SIGWINCH', 'SIGCHLD', 'SIGURG']

/**
 * Reports how the slot ends. In a thread `process.abort()` and signals to oneself end the slot only, as they would
 * end a process slot; a real one would end the caller's whole program.
 */
export function sayLastWords(port: Port, flush: () => void): void {
  const thread = port.isolation === 'thread'
  process.on('uncaughtExceptionMonitor', (error: unknown) => {
    // A task that handles such errors itself goes on.
    if (process.listenerCount('uncaughtException') > 0) return
    // A process prints it by itself.
    if (thread) process.stderr.write(`Uncaught ${inspect(error)}\n`)
    port.send({ type: 'uncaught', error: encodeError(error) })
  })

  const die = (signal: string): never => {
    port.send({ type: 'signal', signal })
    process.exit(1)
  }
  const abort = process.abort.bind(process)
  const kill = process.kill.bind(process)
  process.abort = () => {
    if (thread) return die('SIGABRT')
    flush()
    return abort()
  }
  process.kill = (pid, signal = 'SIGTERM') => {
    // 0 and negative numbers name whole groups of processes.
    if (HARMLESS.includes(signal) || (pid !== process.pid && pid > 0)) return kill(pid, signal)
    if (thread && (pid === process.pid || pid === 0 || pid === -process.pid)) return die(String(signal))
    flush()
    return kill(pid, signal)
  }
}

function encodeError(error: unknown): ReturnType<typeof encode> {
  try {
    return encode(error, { path: 'error' })
  } catch {
    return encode(new Error(inspect(error)))
  }
}
