import { expect, it } from 'vitest'
import type { Run, Scenario, Target } from '../../bench/driver/model.ts'
import { SCENARIOS, TARGETS } from '../../bench/driver/scenarios.ts'
import { median, pairedRatio } from '../../bench/driver/stats.ts'
import { summarize, verdict } from '../../bench/driver/summary.ts'
import { renderScenario, renderVerdicts } from '../../bench/driver/table.ts'

const scenario: Scenario = {
  name: 's',
  title: 'a scenario',
  file: 's',
  competitors: ['bound', 'dicomp', 'peer', 'gone'],
  metrics: [
    { key: 'ms', title: 'time', unit: 'ms', better: 'lower' },
    { key: 'rate', title: 'rate', unit: '/s', better: 'higher' },
    { key: 'ms', title: 'share', unit: '', better: 'higher', bound: { competitor: 'bound', key: 'ms' } },
  ],
  rounds: 3,
  params: {},
  limit: 1,
}

function run(competitor: string, round: number, values: Record<string, number>, atLeast: string[] = []): Run {
  const outcome = { status: 'ok' as const, values, atLeast }
  return { scenario: 's', competitor, round, outcome, foreign: 0, disturbed: round === 9, seconds: 1 }
}

const runs: Run[] = [
  ...[10, 20, 30].map((ms, round) => run('bound', round, { ms })),
  ...[20, 25, 40].map((ms, round) => run('dicomp', round, { ms, rate: 1000 })),
  ...[40, 100, 80].map((ms, round) => run('peer', round, { ms, rate: 100 }, ['ms'])),
  {
    scenario: 's',
    competitor: 'gone',
    round: 0,
    outcome: { status: 'timeout', seconds: 9 },
    foreign: 0,
    disturbed: false,
    seconds: 9,
  },
]

it('knows medians and the ratios of neighbours', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(median([])).toBeNaN()
  const a = new Map([[0, 2], [1, 10], [2, 8]]) // biome-ignore format: pairs
  const b = new Map([[0, 1], [2, 2], [7, 1]]) // biome-ignore format: pairs
  expect(pairedRatio(a, b)).toBe(3)
  expect(pairedRatio(a, new Map())).toBeUndefined()
})

it('says how many times better dicomp is, whichever way the metric points', () => {
  const rows = Object.fromEntries(summarize(scenario, runs).map((row) => [row.competitor, row]))
  expect(rows.dicomp?.cells[0]).toEqual({ value: 25, low: 20, high: 40, atLeast: false, ratio: undefined })
  expect(rows.peer?.cells[0]).toEqual({ value: 80, low: 40, high: 100, atLeast: true, ratio: 2 })
  expect(rows.peer?.cells[1]?.ratio).toBe(10)
  // Efficiency: 10/20, 20/25, 30/40 of the bound of the same round.
  expect(rows.dicomp?.cells[2]).toMatchObject({ value: 0.75, low: 0.5, high: 0.8 })
  expect(rows.peer).toMatchObject({ runs: 3, disturbed: 0 })
  expect(rows.gone).toMatchObject({
    cells: [undefined, undefined, undefined],
    notes: ['killed after 9 s'],
  })
})

it('leaves out disturbed rounds while at least half were quiet', () => {
  const calm = (ms: number, round: number) => run('dicomp', round, { ms })
  const disturbed = (ms: number, round: number) => ({ ...calm(ms, round), disturbed: true })
  const value = (...own: Run[]) => summarize(scenario, own)[0]?.cells[0]?.value
  expect(value(calm(1, 0), disturbed(100, 1))).toBe(1)
  expect(value(calm(1, 0), disturbed(100, 1), disturbed(100, 2))).toBe(100)
  expect(summarize(scenario, [calm(1, 0), disturbed(100, 1)])[0]).toMatchObject({ runs: 2, disturbed: 1 })
})

it('prints bounds, comparisons and what went wrong', () => {
  const text = renderScenario(scenario, summarize(scenario, runs), 'text')
  expect(text.split('\n').map((line) => line.trim())).toHaveLength(5)
  expect(text).toMatch(/peer +> 80 +40 – 100 +> 2×/)
  expect(text).toMatch(/gone +– .*killed after 9 s/)
  const markdown = renderScenario(scenario, summarize(scenario, runs), 'markdown')
  const widths = new Set(markdown.split('\n').map((line) => line.split('|').length))
  expect(widths.size).toBe(1)
})

it('checks a target in its direction, and says so when it was not measured', () => {
  const target = (reach: Target['reach'], goal: number, scenario = 's'): Target => ({
    title: 't',
    scenario,
    ratio: { of: { competitor: 'dicomp', key: 'rate' }, to: { competitor: 'peer', key: 'rate' } },
    goal,
    reach,
    unit: '×',
  })
  expect(verdict(target('at least', 10), runs)).toMatchObject({ value: 10, reached: true })
  expect(verdict(target('at least', 11), runs)).toMatchObject({ value: 10, reached: false })
  expect(verdict(target('at most', 9), runs)).toMatchObject({ value: 10, reached: false })
  const missing = verdict(target('at most', 9, 'other'), runs)
  expect(missing).toMatchObject({ value: undefined, reached: undefined })
  expect(renderVerdicts([missing], 'text')).toContain('not measured')
})

it('has targets that name what the scenarios really measure', () => {
  for (const { scenario, ratio } of TARGETS) {
    const found = SCENARIOS.find(({ name }) => name === scenario)
    for (const { competitor, key } of ratio.to ? [ratio.of, ratio.to] : [ratio.of]) {
      expect(found?.competitors).toContain(competitor)
      expect(
        found?.metrics
          .map((metric) => metric.bound?.key ?? metric.key)
          .concat(found.metrics.map((m) => m.key)),
      ).toContain(key)
    }
  }
})
