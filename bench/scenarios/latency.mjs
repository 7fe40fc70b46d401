// One call after the other: what a lone `await` costs.
import { check, percentile, warm } from '../child/measure.mjs'

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  for (let i = 0; i < params.warmup; i++) await pool.call('identity', i)
  const micros = new Float64Array(params.calls)
  for (let i = 0; i < params.calls; i++) {
    const from = performance.now()
    const result = await pool.call('identity', i)
    micros[i] = (performance.now() - from) * 1000
    if (result !== i) check(false, `identity(${i}) gave ${result}`)
  }
  return { p50: percentile(micros, 0.5), p99: percentile(micros, 0.99) }
}
