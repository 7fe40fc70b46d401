/** How much memory a slot may use, and how we notice that it uses more. See docs/isolation.md. */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'

const MB = 2 ** 20
/** Part of the computer's memory that the heaps of all slots may fill together when no limit is set. */
const SHARE = 0.75
const SMALLEST_HEAP = 256 * MB
/** What Node.js itself, the code and garbage take in a process beside the values of tasks. */
const RUNTIME = 96 * MB
/** Private memory that a slot may need beside what every Node.js reserves: stacks of threads, young generations. */
const HEADROOM = 256 * MB
/** A program that is already larger than this says nothing about what Node.js itself reserves. */
const LARGEST_BASE = 1024 * MB
const WATCH_MS = 100

/** Largest JavaScript heap of a slot, in MiB. @param slots how many share the computer */
export function heapMegabytes(memory: number | undefined, slots: number): number {
  if (memory !== undefined) return Math.max(8, Math.ceil(memory / MB))
  return Math.ceil(Math.max(SMALLEST_HEAP, (availableMemory() * SHARE) / slots) / MB)
}

/** Most private memory of a process with this limit, in KiB, for the operating system to enforce. */
export const dataKilobytes = (memory: number): number =>
  Math.ceil((memory + HEADROOM + reservedByRuntime()) / 1024)

/** Resident memory, in bytes, at which a process with this limit is killed. */
export const residentLimit = (memory: number): number => memory + RUNTIME

let reserved: number | undefined
/**
 * Private memory that Node.js reserves and hardly touches, bytes: 50 MB on Node 20, 580 MB on Node 24, where it
 * includes the range for compiled code. Measured on this process, which runs the same binary.
 */
function reservedByRuntime(): number {
  reserved ??= Math.min(statusBytes(process.pid, 'VmData') ?? LARGEST_BASE, LARGEST_BASE)
  return reserved
}

/** A container may have less than the computer. */
function availableMemory(): number {
  const limit = process.constrainedMemory?.()
  return limit ? Math.min(limit, totalmem()) : totalmem()
}

/** Whether the last words of a process on stderr are those of V8 out of memory. */
export function diedOfMemory(stderrTail: string): boolean {
  return /heap out of memory|Fatal process out of memory|FATAL ERROR: .*Allocation failed|OOM error in V8|std::bad_alloc/.test(
    stderrTail,
  )
}

/** Resident memory of a process in bytes; undefined where the system does not tell. */
export const residentBytes = (pid: number): number | undefined => statusBytes(pid, 'VmRSS')

/** The same of a process with all that it started: the one that was started first may only watch over it. */
export function residentBytesOfAll(pid: number): number | undefined {
  let sum = residentBytes(pid)
  if (sum === undefined) return undefined
  for (const child of childrenOf(pid)) sum += residentBytesOfAll(child) ?? 0
  return sum
}

function childrenOf(pid: number): number[] {
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    return list.trim() === '' ? [] : list.trim().split(' ').map(Number)
  } catch {
    return []
  }
}

function statusBytes(pid: number, field: 'VmRSS' | 'VmData'): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const kilobytes = new RegExp(`${field}:\\s*(\\d+) kB`).exec(status)?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
  } catch {
    return undefined
  }
}

/** Looks at a slot's memory ten times a second while it is busy. */
export class MemoryWatch {
  readonly #limit: number
  readonly #read: () => number | undefined | Promise<number | undefined>
  readonly #exceeded: (bytes: number) => void
  #busy = 0
  #timer: NodeJS.Timeout | undefined

  constructor(
    limit: number,
    read: () => number | undefined | Promise<number | undefined>,
    exceeded: (bytes: number) => void,
  ) {
    this.#limit = limit
    this.#read = read
    this.#exceeded = exceeded
  }

  begin(): void {
    this.#busy++
    this.#timer ??= setInterval(() => this.#look(), WATCH_MS).unref()
  }

  end(): void {
    this.#busy--
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look(): Promise<void> {
    // Stopped here and not in `end`, so that chunk after chunk does not mean timer after timer.
    if (this.#busy <= 0) return this.stop()
    const bytes = await this.#read()
    if (bytes === undefined || bytes <= this.#limit || !this.#timer) return
    this.stop()
    this.#exceeded(bytes)
  }
}
