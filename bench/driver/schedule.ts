import { foreign, isDisturbed, mark, quiet } from './cpu.ts'
import type { Outcome, Run, Scenario } from './model.ts'

/** The parts of the world that a schedule needs; tests bring their own. */
export interface World {
  run(scenario: Scenario, competitor: string): Promise<Outcome>
  /** Waits for a quiet moment; returns the ms that it waited. */
  quiet(patienceMs: number): Promise<number>
  /** Runs `work` and says how much CPU others used meanwhile, in cores. */
  observe<T>(work: () => Promise<T>): Promise<{ value: T; foreign: number | undefined; ms: number }>
  onRun(run: Run): void
}

export interface Patience {
  /** Repetitions of a disturbed or failed run. */
  retries: number
  /** Longest wait for a quiet moment before one run, ms. */
  perRun: number
  /** The same for the whole scenario: on a machine that is never quiet, the bench still ends. */
  perScenario: number
}

export const realWorld: Pick<World, 'quiet' | 'observe'> = {
  quiet,
  async observe(work) {
    const from = mark()
    const value = await work()
    const to = mark()
    return { value, foreign: foreign(from, to), ms: to.at - from.at }
  },
}

/** All rounds of one scenario: A, B, C, …, A, B, C, …, so that a slow minute of the machine hits everybody. */
export async function runScenario(scenario: Scenario, world: World, patience: Patience): Promise<Run[]> {
  const runs: Run[] = []
  const given = new Set<string>()
  let waitLeft = patience.perScenario
  const retriesLeft = { count: patience.retries * scenario.competitors.length }

  if (scenario.rehearse) for (const competitor of scenario.competitors) await world.run(scenario, competitor)
  for (let round = 0; round < scenario.rounds; round++) {
    for (const competitor of scenario.competitors) {
      // One that hung once is not waited for again.
      if (given.has(competitor)) continue
      waitLeft -= await world.quiet(Math.min(patience.perRun, Math.max(0, waitLeft)))
      const run = await runOnce(scenario, competitor, round, world, patience, retriesLeft)
      if (run.outcome.status === 'timeout') given.add(competitor)
      runs.push(run)
      world.onRun(run)
    }
  }
  return runs
}

/** The least disturbed of a few attempts. */
async function runOnce(
  scenario: Scenario,
  competitor: string,
  round: number,
  world: World,
  patience: Patience,
  left: { count: number },
): Promise<Run> {
  let best: Run | undefined
  for (let attempt = 0; ; attempt++) {
    const { value: outcome, foreign, ms } = await world.observe(() => world.run(scenario, competitor))
    const disturbed = isDisturbed(foreign, ms)
    const run: Run = {
      scenario: scenario.name,
      competitor,
      round,
      outcome,
      foreign,
      disturbed,
      seconds: ms / 1000,
    }
    if (!best || better(run, best)) best = run
    if (outcome.status === 'timeout' || (outcome.status === 'ok' && !disturbed)) return best
    if (attempt >= patience.retries || left.count <= 0) return best
    left.count--
  }
}

function better(a: Run, b: Run): boolean {
  if (a.outcome.status !== b.outcome.status) return a.outcome.status === 'ok'
  return (a.foreign ?? 0) < (b.foreign ?? 0)
}
