// Many calls at once: how fast a burst drains.
import { check, median, repeat, warm } from '../child/measure.mjs'

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  const burst = async (n) => {
    const pending = new Array(n)
    for (let i = 0; i < n; i++) pending[i] = pool.call('identity', i)
    const results = await Promise.all(pending)
    check(results.length === n && results[n - 1] === n - 1, 'the last call of the burst')
  }
  await repeat(3, 1000, () => burst(Math.round(params.calls / 5)))
  const took = await repeat(5, params.budgetMs, () => burst(params.calls))
  return { rate: params.calls / (median(took) / 1000) }
}
