import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from './command.ts'

/**
 * Tells a process from an earlier or later one with the same number; undefined where there is none. Numbers come
 * again soon in containers.
 */
export async function birthOf(pid: number): Promise<string | undefined> {
  if (!isAlive(pid)) return undefined
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // After the program's name, which may hold anything: the 20th field is the start, in ticks since the boot.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${start} ${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}`
  } catch {
    return process.platform === 'win32' ? 'unknown' : await ps(pid, 'lstart=')
  }
}

/** The command line of a process; undefined where there is none, or none can be had. */
export async function commandOf(pid: number): Promise<string | undefined> {
  if (!isAlive(pid)) return undefined
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return process.platform === 'win32' ? undefined : await ps(pid, 'command=')
  }
}

/** Ends a process: asks, and after `patienceMs` asks no more. Resolves when it is gone. */
export async function endProcess(pid: number, patienceMs: number): Promise<void> {
  signal(pid, 'SIGTERM')
  for (const end = Date.now() + patienceMs; isAlive(pid); await sleep(20)) {
    if (Date.now() > end) signal(pid, 'SIGKILL')
  }
}

function isAlive(pid: number): boolean {
  return signal(pid, 0)
}

/** False where there is no such process. One of another user is there, too. */
function signal(pid: number, what: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, what)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function ps(pid: number, column: string): Promise<string | undefined> {
  const { code, stdout } = await runCommand('ps', ['-o', column, '-p', String(pid)])
  return code === 0 ? stdout.trim() : undefined
}
