import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Writer } from './journal-format.ts'

/** This process, as another one can check whether it still runs. */
export function thisWriter(): Writer {
  return { host: hostname(), pid: process.pid, started: startOf(process.pid) ?? '' }
}

/** Whether that process still runs. One on another host counts as gone: nobody here can know. */
export function isAlive(writer: Writer): boolean {
  if (writer.host !== hostname() || writer.pid === process.pid) return false
  try {
    process.kill(writer.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return (startOf(writer.pid) ?? writer.started) === writer.started
}

/** When a process started, in the kernel's ticks; undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Field 22; the second one, the program's name in parentheses, may itself have spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
