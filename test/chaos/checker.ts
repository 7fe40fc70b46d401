/** Decides whether a history keeps what docs/guarantees.md promises. Every sentence that it returns is a broken promise. */
import { isDeepStrictEqual } from 'node:util'
import type { Entry, Execution } from './history.ts'
import type { JobPlan } from './plan.ts'
import { type Expected, expectedOf, type Outcome } from './work.ts'

export interface Verdict {
  violations: string[]
  tasks: number
  executions: number
  /** Executions beside the first one that no retry asked for: what at-least-once costs. */
  repeated: number
  /** Of those, executions with the same task.attempt as another one of the same task. */
  sameAttempt: number
}

/** More of the same are counted, not told. */
const MOST = 20

export function check(jobs: JobPlan[], entries: Entry[], executions: Execution[]): Verdict {
  const violations = new Violations()
  checkOutcomes(jobs, entries, violations)
  checkDeliveries(entries, violations)
  const counts = checkExecutions(jobs, entries, executions, violations)
  const tasks = jobs.reduce((sum, job) => sum + job.tasks, 0)
  return { violations: violations.list(), tasks, executions: executions.length, ...counts }
}

class Violations {
  readonly #found: string[] = []
  #more = 0

  add(text: string): void {
    if (this.#found.length < MOST) this.#found.push(text)
    else this.#more++
  }

  list(): string[] {
    return this.#more > 0 ? [...this.#found, `${this.#more} more`] : this.#found
  }
}

/** The user's side: each task has one outcome, the expected one. */
function checkOutcomes(jobs: JobPlan[], entries: Entry[], violations: Violations): void {
  const outcomes = new Map<number, Map<number, Outcome>>()
  const ends = new Map<number, string | undefined>()
  for (const entry of entries) {
    if (entry.e === 'end') ends.set(entry.job, entry.error)
    if (entry.e !== 'outcome') continue
    let known = outcomes.get(entry.job)
    if (!known) outcomes.set(entry.job, (known = new Map()))
    if (known.has(entry.index))
      violations.add(`job ${entry.job} task ${entry.index}: the user got two outcomes`)
    known.set(entry.index, entry.outcome)
  }
  for (const { id, kind, tasks } of jobs) {
    const known = outcomes.get(id) ?? new Map<number, Outcome>()
    if (!ends.has(id)) violations.add(`job ${id} (${kind}) never ended: ${known.size} of ${tasks} outcomes`)
    else if (kind === 'cancelled') continue
    else if (ends.get(id) !== undefined)
      violations.add(`job ${id} (${kind}) failed as a whole: ${ends.get(id)}`)
    for (let index = 0; index < tasks; index++) {
      const expected = expectedOf(kind, index)
      const outcome = known.get(index)
      if (!expected || (!outcome && !ends.has(id))) continue
      if (!outcome) violations.add(`job ${id} (${kind}) task ${index}: no outcome`)
      else if (!meets(outcome, expected)) {
        const got = JSON.stringify(outcome)
        violations.add(`job ${id} (${kind}) task ${index}: expected ${JSON.stringify(expected)}, got ${got}`)
      }
    }
  }
}

function meets(outcome: Outcome, expected: Expected): boolean {
  if ('errorName' in expected) return 'error' in outcome && outcome.error.name === expected.errorName
  return isDeepStrictEqual(outcome, JSON.parse(JSON.stringify(expected)))
}

/** The engine's side: one answer for each task that was added, none for others. */
function checkDeliveries(entries: Entry[], violations: Violations): void {
  const runs = new Map<number, Map<number, number>>()
  const openOf = (run: number): Map<number, number> => {
    let open = runs.get(run)
    if (!open) runs.set(run, (open = new Map()))
    return open
  }
  for (const entry of entries) {
    if (entry.e === 'outcome' || entry.e === 'end') continue
    const { job, run } = entry
    const open = openOf(run)
    switch (entry.e) {
      case 'add':
        for (let index = entry.start; index < entry.end; index++) {
          if (open.has(index)) violations.add(`job ${job} task ${index}: added while it was open`)
          open.set(index, entry.attempt)
        }
        break
      case 'drop':
        for (let index = entry.start; index < entry.end; index++) open.delete(index)
        break
      case 'cancel':
        open.clear()
        break
      case 'forget':
        if (open.size > 0) violations.add(`job ${job}: forgotten with ${open.size} open tasks`)
        open.clear()
        break
      default: {
        // An engine that is closed says so to all jobs; that is a loss where tasks are open.
        if (entry.e === 'lost' && entry.count === null) {
          if (open.size > 0) violations.add(`job ${job}: ${open.size} tasks lost as a whole, ${entry.error}`)
          break
        }
        for (let offset = 0; offset < (entry.count ?? 0); offset++) {
          if (entry.e === 'delivered' && entry.ignore.includes(offset)) continue
          const index = entry.start + offset
          const attempt = open.get(index)
          if (attempt === undefined)
            violations.add(`job ${job} task ${index}: ${entry.e}, but nobody waits for it`)
          else if (entry.e === 'delivered' && entry.attempt < attempt) {
            violations.add(
              `job ${job} task ${index}: attempt ${entry.attempt} delivered for attempt ${attempt}`,
            )
          }
          open.delete(index)
        }
      }
    }
  }
}

/** The slots' side: no result without an execution; how often tasks ran again. */
function checkExecutions(
  jobs: JobPlan[],
  entries: Entry[],
  executions: Execution[],
  violations: Violations,
): { repeated: number; sameAttempt: number } {
  const attempts = new Map<string, number[]>()
  for (const { job, index, attempt } of executions) {
    const key = `${job} ${index}`
    const known = attempts.get(key)
    if (known) known.push(attempt)
    else attempts.set(key, [attempt])
  }
  for (const entry of entries) {
    if (entry.e !== 'outcome' || 'error' in entry.outcome) continue
    if (attempts.has(`${entry.job} ${entry.index}`)) continue
    violations.add(`job ${entry.job} task ${entry.index}: has a result, but was never executed`)
  }
  let repeated = 0
  let sameAttempt = 0
  for (const { id, kind, tasks } of jobs) {
    // Those of these kinds are executed again by design.
    if (kind === 'retrying' || kind === 'crashing' || kind === 'poison') continue
    for (let index = 0; index < tasks; index++) {
      const known = attempts.get(`${id} ${index}`) ?? []
      repeated += Math.max(0, known.length - 1)
      sameAttempt += known.length - new Set(known).size
    }
  }
  return { repeated, sameAttempt }
}
