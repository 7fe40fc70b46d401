/**
 * A small dose of chaos, with seeds that differ from day to day: a failure prints its own, and
 * `node --import tsx test/chaos/run.ts --runs 1 --seed <it>` repeats the plan. `DICOMP_CHAOS_SEED` sets the first one.
 */
import { describe, expect, test } from 'vitest'
import { describePlan, type Fault, type PlanOptions, planOf } from './plan.ts'
import { carryOut } from './trial.ts'

const FIRST = Number(process.env.DICOMP_CHAOS_SEED ?? Math.floor(Date.now() / 86_400_000) * 100)
const LIMIT_MS = 240_000

const NODES: Fault['type'][] = ['killNode', 'stopNode', 'drainNode', 'killSlot', 'stopSlot']
const LINKS: Fault['type'][] = ['cutLink', 'resetLink', 'stallLink', 'slowLink', 'lossyLink']

/** Runs that wait, mostly: some at the same time use the machine better. */
describe.concurrent('every task has exactly one outcome, the right one, and nothing is left behind', () => {
  const runs: [what: string, options: PlanOptions][] = [
    ['nodes die, freeze and leave', { faults: NODES }],
    ['the server dies and freezes', { faults: ['killServer', 'stopServer'], servers: 1 }],
    ['one of three servers dies', { faults: ['killServer', 'stopServer'], servers: 3 }],
    ['links break, stall and lose', { faults: LINKS, servers: 1 }],
    ['a client dies, another freezes', { faults: ['killClient', 'stopClient'], servers: 1 }],
    ['anything', {}],
  ]
  test.each(runs)('%s', { timeout: LIMIT_MS }, async (_, options) => {
    const seed = FIRST + runs.findIndex(([, each]) => each === options)
    const plan = planOf(seed, { tasks: 1700, ...options })
    const { violations, folder } = await carryOut(plan)
    expect(violations, `${describePlan(plan)}\nsee ${folder}`).toEqual([])
  })
})
