// What a tree of processes uses, from /proc. ../python/processes.py is the same.
import { readdirSync, readFileSync } from 'node:fs'

/** Linux counts CPU time for people in ticks of 10 ms, whatever the kernel's own clock is. */
const TICK_MS = 10

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** `root` and all below it. */
export function tree(root) {
  const below = new Map()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const text = read(`/proc/${name}/stat`)
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
    if (!below.has(parent)) below.set(parent, [])
    below.get(parent).push(Number(name))
  }
  const found = [root]
  for (let i = 0; i < found.length; i++) found.push(...(below.get(found[i]) ?? []))
  return found
}

/** Bytes; pages that several processes share are counted once. */
export function pss(pids) {
  const kB = (pid) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0)
  return pids.reduce((sum, pid) => sum + kB(pid) * 1024, 0)
}

/** Time that they, and their children that have ended, were on a core. */
export function cpuMs(pids) {
  return pids.reduce((sum, pid) => {
    const text = read(`/proc/${pid}/stat`)
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return sum + [11, 12, 13, 14].reduce((ms, i) => ms + Number(fields[i] ?? 0) * TICK_MS, 0)
  }, 0)
}

/** Time that the cores of the machine did not idle, steal included. */
export function busyMs() {
  const fields = read('/proc/stat').split('\n')[0].trim().split(/\s+/).slice(1).map(Number)
  const [user, nice, system, , , irq, softirq, steal] = fields
  return (user + nice + system + irq + softirq + steal) * TICK_MS
}

/** What the loss of a computer does to its processes: all at once, none gets to say a word. */
export function killTree(root) {
  const signal = (pid, name) => {
    try {
      process.kill(pid, name)
    } catch {
      // It ended in the meantime.
    }
  }
  const pids = tree(root)
  for (const pid of pids) signal(pid, 'SIGSTOP')
  for (const pid of new Set([...tree(root), ...pids])) signal(pid, 'SIGKILL')
}
