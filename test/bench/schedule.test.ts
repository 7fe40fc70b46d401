import { expect, it } from 'vitest'
import type { Outcome, Run, Scenario } from '../../bench/driver/model.ts'
import { runScenario, type World } from '../../bench/driver/schedule.ts'

const scenario: Scenario = {
  name: 's',
  title: 's',
  file: 's',
  competitors: ['a', 'b', 'c'],
  metrics: [{ key: 'ms', title: 'ms', unit: 'ms', better: 'lower' }],
  rounds: 2,
  params: {},
  limit: 1,
}
const ok = (ms: number): Outcome => ({ status: 'ok', values: { ms }, atLeast: [] })
const patience = { retries: 2, perRun: 100, perScenario: 250 }

/** A machine where every run takes a second, and others use what `foreign` says. */
function world(
  run: (competitor: string, call: number) => Outcome,
  foreign: (call: number) => number = () => 0,
) {
  const calls: string[] = []
  const waits: number[] = []
  const seen: Run[] = []
  const it: World = {
    async run(_, competitor) {
      calls.push(competitor)
      return run(competitor, calls.length)
    },
    async quiet(patienceMs) {
      waits.push(patienceMs)
      return patienceMs
    },
    async observe(work) {
      return { value: await work(), foreign: foreign(calls.length), ms: 1000 }
    },
    onRun: (run) => seen.push(run),
  }
  return { it, calls, waits, seen }
}

it('runs the competitors in turn, round by round', async () => {
  const w = world(() => ok(1))
  const runs = await runScenario(scenario, w.it, patience)
  expect(w.calls.join('')).toBe('abcabc')
  expect(runs.map(({ round }) => round)).toEqual([0, 0, 0, 1, 1, 1])
  expect(w.seen).toEqual(runs)
})

it('repeats a disturbed run and keeps the least disturbed', async () => {
  const load = [0.9, 0.2, 0.5]
  const w = world(
    (_, call) => ok(call),
    (call) => load[call - 1] ?? 0,
  )
  const [first] = await runScenario({ ...scenario, competitors: ['a'], rounds: 1 }, w.it, patience)
  expect(w.calls).toHaveLength(3)
  expect(first).toMatchObject({ disturbed: true, foreign: 0.2, outcome: { values: { ms: 2 } } })
})

it('bounds the repetitions and the waiting of a machine that is never quiet', async () => {
  const w = world(
    () => ok(1),
    () => 1,
  )
  const runs = await runScenario({ ...scenario, rounds: 50 }, w.it, patience)
  expect(runs).toHaveLength(150)
  expect(w.calls.length).toBe(150 + patience.retries * scenario.competitors.length)
  expect(w.waits.reduce((sum, ms) => sum + ms, 0)).toBe(patience.perScenario)
})

it('tries a failed run again, and does not wait for one that hung once', async () => {
  const w = world((competitor, call) => {
    if (competitor === 'b') return { status: 'timeout', seconds: 1 }
    if (call === 1) return { status: 'failed', why: 'exit 13' }
    return ok(call)
  })
  const runs = await runScenario(scenario, w.it, patience)
  expect(w.calls.join('')).toBe('aabcac')
  expect(runs.map(({ competitor, outcome }) => `${competitor} ${outcome.status}`)).toEqual([
    'a ok',
    'b timeout',
    'c ok',
    'a ok',
    'c ok',
  ])
})

it('rehearses without keeping', async () => {
  const w = world((_, call) => ok(call))
  const runs = await runScenario({ ...scenario, rounds: 1, rehearse: true }, w.it, patience)
  expect(w.calls.join('')).toBe('abcabc')
  expect(runs.map(({ outcome }) => outcome)).toEqual([ok(4), ok(5), ok(6)])
})
