import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Linux counts CPU time for people in ticks of 10 ms, whatever the kernel's own clock is. */
const TICK_MS = 10

/** A share of one core that other processes may use before a run counts as disturbed. */
const TOLERATED_CORES = 0.08

/** Below this, ticks are too coarse to say anything: a 0.1 s run has ten of them. */
const TOLERATED_MS = 40

export interface CpuMark {
  at: number
  /** All processes, in ms; undefined where there is no /proc/stat. */
  all: number | undefined
  /** This process and the children that have ended, in ms. */
  own: number
}

export function mark(): CpuMark {
  if (!existsSync('/proc/stat')) return { at: performance.now(), all: undefined, own: 0 }
  return {
    at: performance.now(),
    all: busyMs(readFileSync('/proc/stat', 'utf8')),
    own: ownMs(readFileSync('/proc/self/stat', 'utf8')),
  }
}

/** Time that the machine's cores did not idle, steal included: what the hypervisor takes disturbs as well. */
export function busyMs(procStat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (
    procStat.split('\n')[0] ?? ''
  )
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq + steal) * TICK_MS
}

/** utime + stime + cutime + cstime of /proc/<pid>/stat; the command's name may hold spaces and parentheses. */
export function ownMs(procPidStat: string): number {
  const fields = procPidStat.slice(procPidStat.lastIndexOf(')') + 2).split(' ')
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i] ?? 0), 0) * TICK_MS
}

/** Cores that others used between two marks, on average. */
export function foreign(from: CpuMark, to: CpuMark): number | undefined {
  if (from.all === undefined || to.all === undefined) return undefined
  return Math.max(0, to.all - from.all - (to.own - from.own)) / Math.max(1, to.at - from.at)
}

export function isDisturbed(cores: number | undefined, ms: number): boolean {
  return cores !== undefined && cores > TOLERATED_CORES && cores * ms > TOLERATED_MS
}

/** Waits until others leave the machine alone for 0.3 s, at most `patienceMs`. Returns how long it waited, in ms. */
export async function quiet(patienceMs: number): Promise<number> {
  const begin = performance.now()
  while (performance.now() - begin < patienceMs) {
    const from = mark()
    await sleep(300)
    const cores = foreign(from, mark())
    if (cores === undefined || cores <= TOLERATED_CORES) break
  }
  return performance.now() - begin
}
