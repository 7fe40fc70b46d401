import type { Measure, Metric, Run, Scenario, Target, Verdict } from './model.ts'
import { median, pairedRatio } from './stats.ts'

/** The competitor that the others are compared with. */
const REFERENCE = 'dicomp'

export interface Cell {
  value: number
  low: number
  high: number
  /** The value is a bound: the run was stopped there. */
  atLeast: boolean
  /** How many times better dicomp is; below 1 it is worse. Absent for dicomp itself and for efficiencies. */
  ratio: number | undefined
}

export interface Row {
  competitor: string
  /** One per metric of the scenario; undefined where the competitor has no such thing. */
  cells: (Cell | undefined)[]
  runs: number
  disturbed: number
  /** What a reader must know: hung, failed, cannot transfer results. */
  notes: string[]
}

export function summarize(scenario: Scenario, runs: readonly Run[]): Row[] {
  return scenario.competitors.flatMap((competitor) => {
    const own = runs.filter((run) => run.scenario === scenario.name && run.competitor === competitor)
    if (own.length === 0) return []
    return {
      competitor,
      cells: scenario.metrics.map((metric) => cell(scenario, metric, competitor, runs)),
      runs: own.length,
      disturbed: own.filter((run) => run.disturbed).length,
      notes: [...new Set(own.flatMap(note))],
    }
  })
}

export function verdict(target: Target, runs: readonly Run[]): Verdict {
  const value = measured(target, runs)
  const goal = `${target.reach === 'at least' ? '≥' : '≤'} ${inUnit(String(target.goal), target.unit)}`
  const reached =
    value === undefined
      ? undefined
      : target.reach === 'at least'
        ? value >= target.goal
        : value <= target.goal
  return { title: target.title, goal, unit: target.unit, value, reached }
}

/** A number with its unit, as people write it. */
export function inUnit(number: string, unit: Target['unit']): string {
  return unit === '×' || unit === '' ? number + unit : `${number} ${unit}`
}

function measured({ scenario, ratio }: Target, runs: readonly Run[]): number | undefined {
  const of = series(scenario, ratio.of, runs).values
  if (ratio.to) return pairedRatio(of, series(scenario, ratio.to, runs).values)
  return of.size ? median([...of.values()]) : undefined
}

function cell(
  scenario: Scenario,
  metric: Metric,
  competitor: string,
  runs: readonly Run[],
): Cell | undefined {
  const { values, atLeast } = series(scenario.name, { competitor, key: metric.key }, runs)
  if (values.size === 0) return undefined
  if (metric.bound) {
    const bound = series(scenario.name, metric.bound, runs).values
    const shares = [...values].flatMap(([round, value]) => {
      const best = bound.get(round)
      return best === undefined ? [] : best / value
    })
    return shares.length ? { ...spread(shares), atLeast: false, ratio: undefined } : undefined
  }
  const reference = series(scenario.name, { competitor: REFERENCE, key: metric.key }, runs).values
  const [worse, base] = metric.better === 'lower' ? [values, reference] : [reference, values]
  const ratio = competitor === REFERENCE ? undefined : pairedRatio(worse, base)
  return { ...spread([...values.values()]), atLeast, ratio }
}

/** One number per round that gave one; without the disturbed rounds where at least half were quiet. */
function series(scenario: string, { competitor, key }: Measure, runs: readonly Run[]) {
  const own = runs.filter((run) => run.scenario === scenario && run.competitor === competitor)
  const calm = own.filter((run) => !run.disturbed)
  const values = new Map<number, number>()
  let atLeast = false
  for (const { round, outcome } of calm.length * 2 >= own.length ? calm : own) {
    const value = outcome.status === 'ok' ? outcome.values[key] : undefined
    if (outcome.status !== 'ok' || value === undefined) continue
    values.set(round, value)
    atLeast ||= outcome.atLeast.includes(key)
  }
  return { values, atLeast }
}

function spread(values: number[]): Pick<Cell, 'value' | 'low' | 'high'> {
  return { value: median(values), low: Math.min(...values), high: Math.max(...values) }
}

function note({ outcome }: Run): string[] {
  if (outcome.status === 'timeout') return [`killed after ${outcome.seconds} s`]
  if (outcome.status === 'failed') return [`failed: ${outcome.why}`]
  return outcome.note ? [outcome.note] : []
}
