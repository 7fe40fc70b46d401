/** Processes of a run, found in /proc: whoever has the run's folder in its environment belongs to it. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Found {
  pid: number
  parent: number
  command: string
}

/** @param mark text in their environment or command line */
export function processesOf(mark: string): Found[] {
  return all().filter(({ pid, command }) => {
    if (pid === process.pid) return false
    return command.includes(mark) || read(`/proc/${pid}/environ`).includes(mark)
  })
}

/** The slots of an agent. */
export const slotsOf = (agent: number): number[] =>
  all()
    .filter(({ parent, command }) => parent === agent && /\brunner\.js\b/.test(command))
    .map(({ pid }) => pid)

function all(): Found[] {
  const found: Found[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = read(`/proc/${name}/status`)
    // Zombies are only waited for by their parents.
    if (status === '' || /^State:\s*Z/m.test(status)) continue
    const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1])
    const command = read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim()
    found.push({ pid: Number(name), parent, command })
  }
  return found
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    // It has ended, or is somebody else's.
    return ''
  }
}
