/** The checker finds what it is there for: each history here has one flaw. */
import { expect, test } from 'vitest'
import { check } from './checker.ts'
import type { Entry, Execution } from './history.ts'
import type { JobPlan } from './plan.ts'

const jobs: JobPlan[] = [
  { id: 0, kind: 'numbers', tasks: 2, via: 'settled', at: 0 },
  { id: 1, kind: 'failing', tasks: 1, via: 'settled', at: 0 },
]

const add = (run: number, start: number, end: number, attempt = 1): Entry => ({
  e: 'add',
  job: run,
  run,
  start,
  end,
  attempt,
})
const delivered = (run: number, start: number, count: number, attempt = 1): Entry => ({
  e: 'delivered',
  job: run,
  run,
  start,
  count,
  attempt,
  failed: [],
  ignore: [],
  slot: '',
})
const outcome = (job: number, index: number, value: unknown): Entry => ({
  e: 'outcome',
  job,
  index,
  outcome: { value },
})
const failure: Entry = {
  e: 'outcome',
  job: 1,
  index: 0,
  outcome: { error: { name: 'RangeError', message: 'own 0' } },
}
const ends: Entry[] = [
  { e: 'end', job: 0 },
  { e: 'end', job: 1 },
]
const good: Entry[] = [
  add(0, 0, 2),
  add(1, 0, 1),
  delivered(0, 0, 2),
  delivered(1, 0, 1),
  outcome(0, 0, 1),
  outcome(0, 1, 4),
  failure,
  ...ends,
]
const execution = (job: number, index: number, attempt = 1): Execution => ({
  job,
  index,
  attempt,
  at: 0,
  pid: 1,
})
const executions = [execution(0, 0), execution(0, 1), execution(1, 0)]

const flaws = (entries: Entry[], ran = executions): string => check(jobs, entries, ran).violations.join('; ')
const without = (...gone: Entry[]): Entry[] => good.filter((entry) => !gone.includes(entry))
const instead = (old: Entry, ...entries: Entry[]): Entry[] =>
  good.flatMap((entry) => (entry === old ? entries : [entry]))
const entry = (at: number): Entry => good[at] as Entry

test('a good history', () => {
  expect(check(jobs, good, [...executions, execution(0, 1, 2), execution(0, 0, 1)])).toEqual({
    violations: [],
    tasks: 3,
    executions: 5,
    repeated: 2,
    sameAttempt: 1,
  })
})

test('outcomes that are missing, wrong, or there twice', () => {
  expect(flaws(without(entry(5)))).toBe('job 0 (numbers) task 1: no outcome')
  expect(flaws(instead(entry(5), outcome(0, 1, 5)))).toContain('expected {"value":4}, got {"value":5}')
  expect(flaws([...good, outcome(0, 1, 4)])).toBe('job 0 task 1: the user got two outcomes')
  expect(flaws(instead(failure, outcome(1, 0, 0)))).toContain('job 1 (failing) task 0: expected')
  expect(flaws(without(entry(8)))).toBe('job 1 (failing) never ended: 1 of 1 outcomes')
})

test('deliveries that nobody waits for', () => {
  expect(flaws(instead(entry(2), delivered(0, 0, 2), delivered(0, 1, 1)))).toBe(
    'job 0 task 1: delivered, but nobody waits for it',
  )
  const late: Entry[] = [{ e: 'drop', job: 0, run: 0, start: 1, end: 2 }, delivered(0, 0, 2)]
  expect(flaws(instead(entry(2), ...late))).toBe('job 0 task 1: delivered, but nobody waits for it')
  const ignored: Entry = { ...(delivered(0, 0, 2) as Extract<Entry, { e: 'delivered' }>), ignore: [1] }
  expect(flaws(instead(entry(2), delivered(0, 1, 1), ignored))).toBe('')
  expect(flaws(instead(entry(2), ignored, { e: 'forget', job: 0, run: 0 }))).toBe(
    'job 0: forgotten with 1 open tasks',
  )
  expect(flaws([...good, { e: 'lost', job: 0, run: 0, start: 0, count: null, error: 'closed' }])).toBe('')
})

test('a result of an execution that was given up', () => {
  expect(flaws(instead(entry(2), delivered(0, 0, 2), add(0, 0, 1, 2), delivered(0, 0, 1, 1)))).toBe(
    'job 0 task 0: attempt 1 delivered for attempt 2',
  )
})

test('a result out of nowhere', () => {
  expect(flaws(good, executions.slice(1))).toBe('job 0 task 0: has a result, but was never executed')
})
