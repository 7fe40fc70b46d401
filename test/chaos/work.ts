/** What tasks do in a run, and what has to come of each. They note every execution in a file before anything else. */
import { createHash } from 'node:crypto'
import { existsSync, openSync, writeFileSync, writeSync } from 'node:fs'
import type { TaskOptions } from '../../src/api/options.ts'
import { task } from '../../src/task.ts'

/** The argument of most tasks. `numbers` take a plain number. */
export interface Input {
  /** Number of the task in its job. */
  n: number
  job: number
  /** Directory in which executions are noted. */
  notes: string
}

/** What became of a task, for its user. */
export type Outcome = { value: unknown } | { error: { name: string; message: string } }

/** Where it is one of several, the first that applies. */
export type Expected = Outcome | { errorName: string }

export const KINDS = [
  'numbers',
  'values',
  'busy',
  'sleepy',
  'failing',
  'retrying',
  'timed',
  'crashing',
  'poison',
  'big',
  'cancelled',
] as const
export type Kind = (typeof KINDS)[number]

const BIG_BYTES = 400_000
/** Far more than the other tasks of the job need. */
const TIMEOUT_MS = 1500

/** One line per execution: job, task, attempt, when, process. */
function note(notes: string, job: number, n: number): void {
  const files = ((globalThis as { chaosNotes?: Map<string, number> }).chaosNotes ??= new Map())
  let file = files.get(notes)
  if (file === undefined) files.set(notes, (file = openSync(`${notes}/${process.pid}`, 'a')))
  writeSync(file, `${job} ${n} ${task.attempt} ${Date.now()} ${process.pid}\n`)
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Once only, over all nodes: `true` for the first execution of a task. */
function first(notes: string, job: number, n: number): boolean {
  const mark = `${notes}/mark-${job}-${n}`
  if (existsSync(mark)) return false
  writeFileSync(mark, '')
  return true
}

/** Some tasks have the same bytes as others. */
const filled = (n: number): Uint8Array => new Uint8Array(BIG_BYTES).fill(n % 3)

/** The functions, by kind. Those of `numbers` have no argument for what they have to know. */
export function functionOf(kind: Kind, notes: string, job: number): (input: never) => unknown {
  switch (kind) {
    case 'numbers':
      return (n: number) => {
        note(notes, job, n)
        return n * 3 + 1
      }
    case 'values':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        return { n, text: `value ${n}`, list: [n, n + 1] }
      }
    case 'busy':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        for (const end = performance.now() + (n % 3); performance.now() < end; );
        return n
      }
    case 'sleepy':
    case 'cancelled':
      return async ({ n, job, notes }: Input) => {
        note(notes, job, n)
        await pause(5 + (n % 60))
        return n
      }
    case 'failing':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        if (n % 7 === 0) throw new RangeError(`own ${n}`)
        return n
      }
    case 'retrying':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        if (n % 5 === 0) throw new Error(`always ${n}`)
        if (first(notes, job, n)) throw new Error(`once ${n}`)
        return n
      }
    case 'timed':
      return async ({ n, job, notes }: Input) => {
        note(notes, job, n)
        await pause(n % 10 === 0 ? 60_000 : 20)
        return n
      }
    case 'crashing':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        if (n % 5 === 0 && first(notes, job, n)) process.kill(process.pid, 'SIGKILL')
        return n
      }
    case 'poison':
      return ({ n, job, notes }: Input) => {
        note(notes, job, n)
        if (n === 3) process.kill(process.pid, 'SIGKILL')
        return n
      }
    case 'big':
      return ({ n, job, notes, bytes }: Input & { bytes: Uint8Array }) => {
        note(notes, job, n)
        return bytes.map((byte) => byte ^ 255)
      }
  }
}

export function optionsOf(kind: Kind): TaskOptions {
  if (kind === 'retrying') return { retries: 2 }
  if (kind === 'timed') return { timeout: TIMEOUT_MS }
  return {}
}

export function inputOf(kind: Kind, job: number, n: number, notes: string): unknown {
  if (kind === 'numbers') return n
  const input: Input = { n, job, notes }
  return kind === 'big' ? { ...input, bytes: filled(n) } : input
}

/** @returns undefined where it may be anything: the job is cancelled */
export function expectedOf(kind: Kind, n: number): Expected | undefined {
  switch (kind) {
    case 'numbers':
      return { value: n * 3 + 1 }
    case 'values':
      return { value: { n, text: `value ${n}`, list: [n, n + 1] } }
    case 'failing':
      return n % 7 === 0 ? { error: { name: 'RangeError', message: `own ${n}` } } : { value: n }
    case 'retrying':
      return n % 5 === 0 ? { error: { name: 'Error', message: `always ${n}` } } : { value: n }
    case 'timed':
      return n % 10 === 0 ? { errorName: 'TaskTimeoutError' } : { value: n }
    case 'poison':
      return n === 3 ? { errorName: 'SlotCrashedError' } : { value: n }
    case 'big':
      return { value: digest(filled(n).map((byte) => byte ^ 255)) }
    case 'cancelled':
      return undefined
    default:
      return { value: n }
  }
}

/** What is noted of a value: large ones are not kept. */
export const digest = (value: unknown): unknown =>
  value instanceof Uint8Array ? `${value.length} ${createHash('sha256').update(value).digest('hex')}` : value
