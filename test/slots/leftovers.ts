/** What this process holds of the operating system: for tests that nothing is left behind. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Holdings {
  /** Open file descriptors as `3 → socket`; numbers in names removed, so that equal things are equal. */
  files: string[]
  /** Commands of child processes. */
  children: string[]
  threads: number
  /** What keeps, or could keep, the event loop alive. */
  resources: string[]
}

export function holdings(): Holdings {
  return {
    files: files(),
    children: children().map(({ command }) => command),
    threads: readdirSync('/proc/self/task').length,
    resources: process.getActiveResourcesInfo().sort(),
  }
}

function files(): string[] {
  const found: string[] = []
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      found.push(readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, 'n'))
    } catch {
      // The descriptor with which the directory itself was read.
    }
  }
  return found.sort()
}

/** Processes whose parent is this one, zombies too. */
export function children(): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const status = readFileSync(`/proc/${name}/status`, 'latin1')
      if (Number(/PPid:\s*(\d+)/.exec(status)?.[1]) !== process.pid) continue
      found.push({
        pid: Number(name),
        command: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' '),
      })
    } catch {
      // It has ended meanwhile.
    }
  }
  return found
}

/** Processes that have `text` in their command line. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const zombie = /State:\s*Z/.test(readFileSync(`/proc/${name}/status`, 'latin1'))
        return !zombie && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(text)
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Waits until `check` returns without an error, and fails with its last error when that takes `ms`. */
export async function eventually(check: () => void, ms = 10_000): Promise<void> {
  const end = performance.now() + ms
  for (;;) {
    try {
      return check()
    } catch (error) {
      if (performance.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
