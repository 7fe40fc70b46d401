/**
 * What happened, as each side saw it: the client what it submitted and what came back, the slots what they executed.
 * One JSON text per line, with the time `at` which it was noted; kept when a run fails, so that its story can be read.
 */
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Outcome } from './work.ts'

/** `job` is the number of the job in the plan; `run` numbers the engine's jobs, of which an API job may have several. */
export type Entry =
  /** What the API asked of the engine. */
  | { e: 'add'; job: number; run: number; start: number; end: number; attempt: number }
  | { e: 'drop'; job: number; run: number; start: number; end: number }
  | { e: 'cancel' | 'forget'; job: number; run: number }
  /** What the engine answered. */
  | {
      e: 'delivered'
      job: number
      run: number
      start: number
      count: number
      attempt: number
      failed: number[]
      /** Offsets that do not count. */
      ignore: number[]
      slot: string
    }
  /** `count` is null for all that is left (Infinity). */
  | { e: 'lost'; job: number; run: number; start: number; count: number | null; error: string }
  /** What the user got. */
  | { e: 'outcome'; job: number; index: number; outcome: Outcome }
  /** The user's job is over. `error`: instead of outcomes. */
  | { e: 'end'; job: number; error?: string }

export interface Execution {
  /** Number of the job in the plan. */
  job: number
  index: number
  attempt: number
  /** Milliseconds since 1970. */
  at: number
  pid: number
}

/** Entries are written some at a time: they must not slow down what is tested. */
export class HistoryWriter {
  readonly #file: string
  #lines: string[] = []

  constructor(file: string) {
    this.#file = file
  }

  note(entry: Entry): void {
    this.#lines.push(JSON.stringify({ ...entry, at: Date.now() }))
    if (this.#lines.length >= 500) this.flush()
  }

  flush(): void {
    if (this.#lines.length > 0) appendFileSync(this.#file, `${this.#lines.join('\n')}\n`)
    this.#lines = []
  }
}

export function readHistory(file: string): Entry[] {
  if (!existsSync(file)) return []
  return linesOf(file).map((line) => JSON.parse(line) as Entry)
}

/** @param notes directory with a file per slot, see work.ts */
export function readExecutions(notes: string): Execution[] {
  return readdirSync(notes)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => linesOf(join(notes, name)))
    .map((line) => {
      const [job = 0, index = 0, attempt = 0, at = 0, pid = 0] = line.split(' ').map(Number)
      return { job, index, attempt, at, pid }
    })
}

/** Without a last line that was cut off by a kill. */
function linesOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1)
}
