import { connect } from 'dicomp'
import { amount, Live } from '../terminal.ts'
import type { Problem } from './geometry.ts'
import { type Progress, solve } from './solve.ts'

export interface CompareOptions {
  slots: number
  /** Wall time of each run. */
  seconds: number
  seed: number
  /** How many seeds, each run on one slot and on all. */
  seeds: number
  optimum: number | undefined
}

export interface Run {
  seed: number
  slots: number
  length: number
  seconds: number
  kicks: number
}

/** Runs each seed on one slot and on all slots, taking turns, the same wall time each. */
export async function compare(p: Problem, options: CompareOptions): Promise<{ runs: Run[]; table: string }> {
  const runs: Run[] = []
  const live = new Live(0)
  for (let i = 0; i < options.seeds; i++) {
    for (const slots of i % 2 === 0 ? [1, options.slots] : [options.slots, 1]) {
      const cluster = await connect({ slots })
      let last: Progress | undefined
      for await (const now of solve(p, cluster, { ...options, seed: options.seed + i })) last = now
      await cluster.close()
      if (!last) continue
      const { length, seconds, kicks } = last
      runs.push({ seed: options.seed + i, slots, length, seconds, kicks })
      live.show(`seed ${options.seed + i}, ${amount(slots, 'slot')}: ${length} after ${seconds.toFixed(1)} s`)
    }
  }
  live.end()
  return { runs, table: tableOf(runs, options) }
}

function tableOf(runs: Run[], { slots, optimum, seconds }: CompareOptions): string {
  const quality = ({ length }: { length: number }) =>
    optimum === undefined ? length.toFixed(0) : `${(100 * (length / optimum - 1)).toFixed(3)} %`
  const rows = [`${seconds} s each`.padEnd(12) + '1 slot'.padStart(16) + amount(slots, 'slot').padStart(16)]
  const pick = (seed: number, count: number) =>
    runs.find((run) => run.seed === seed && run.slots === count) as Run
  for (const seed of new Set(runs.map((run) => run.seed))) {
    const cells = [1, slots].map((count) => {
      const run = pick(seed, count)
      return `${quality(run)}${run.length === optimum ? ` @${run.seconds.toFixed(1)}s` : ''}`.padStart(16)
    })
    rows.push(`seed ${seed}`.padEnd(12) + cells.join(''))
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const of = (count: number) => runs.filter((run) => run.slots === count)
  const both = [1, slots].map(of)
  rows.push(
    'mean'.padEnd(12) +
      both.map((set) => quality({ length: mean(set.map((run) => run.length)) }).padStart(16)).join(''),
  )
  rows.push(
    'kicks/s'.padEnd(12) +
      both
        .map((set) =>
          mean(set.map((run) => run.kicks / run.seconds))
            .toFixed(0)
            .padStart(16),
        )
        .join(''),
  )
  return rows.join('\n')
}
