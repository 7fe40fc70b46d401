// Tasks of a known amount of work. The driver divides the time that two bare threads need by the time of the pool.
import { check, random, warm } from '../child/measure.mjs'
import { spin } from '../child/ops.mjs'

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  const inputs = tasks(params)
  await warm(pool, params)
  const result = {}
  if (pool.call && !params.mapOnly) {
    result.calls = await time(inputs, () => Promise.all(inputs.map((n) => pool.call('spin', n))))
  }
  if (pool.bulk) result.map = await time(inputs, () => pool.map('spin', inputs))
  return result
}

async function time(inputs, all) {
  const from = performance.now()
  const results = await all()
  const took = performance.now() - from
  check(results.length === inputs.length && results[3] === spin(inputs[3]), 'spin')
  return took
}

/** `totalMs` of work for one core, as spin iterations per task. */
function tasks({ taskMs, totalMs, spinsPerMs }) {
  if (taskMs !== 'skewed')
    return new Array(Math.round(totalMs / taskMs)).fill(Math.round(taskMs * spinsPerMs))
  // Mostly tiny, one in forty long, at random places: in a regular pattern, round robin over two workers would
  // give all the long ones to the same worker, which is true but looks contrived.
  const long = Math.round(totalMs / 20)
  const inputs = new Array(long * 40).fill(Math.round(0.01 * spinsPerMs))
  const next = random(20260801)
  for (let placed = 0; placed < long; ) {
    const at = Math.floor(next() * inputs.length)
    if (inputs[at] > spinsPerMs) continue
    inputs[at] = Math.round(20 * spinsPerMs)
    placed++
  }
  return inputs
}
