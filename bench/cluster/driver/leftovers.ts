/**
 * Peers start daemons in sessions of their own, which no process group holds together. All that a run starts inherits
 * one variable of its environment, by which it is found afterwards.
 */
import { readdirSync, readFileSync } from 'node:fs'

export const RUN_VARIABLE = 'DICOMP_BENCH_RUN'

/** Ends all processes of the run, by their ids. Linux only; elsewhere there is nothing to look at. */
export function endLeftovers(run: string): void {
  for (const pid of belongingTo(run)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

function belongingTo(run: string): number[] {
  let names: string[]
  try {
    names = readdirSync('/proc')
  } catch {
    return []
  }
  const entry = `${RUN_VARIABLE}=${run}`
  return names
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(entry)
      } catch {
        return false
      }
    })
    .map(Number)
}
