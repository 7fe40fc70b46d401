/** In a thread, a signal that a task sends to its own process would end the caller's whole program. */
import type { Port } from './port.ts'

/** Makes `process.abort()` and signals to oneself end this slot only, as they would end a process slot. */
export function interceptSignals(port: Port): void {
  const die = (signal: string): never => {
    port.send({ type: 'signal', signal })
    process.exit(1)
  }
  const kill = process.kill.bind(process)
  process.abort = () => die('SIGABRT')
  process.kill = (pid, signal) =>
    pid === process.pid && signal !== 0 ? die(String(signal ?? 'SIGTERM')) : kill(pid, signal)
}
