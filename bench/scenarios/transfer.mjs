// 8 MB there and 8 MB back: copied, and transferred.
import { check, median, repeat, warm } from '../child/measure.mjs'

const N = 1e6

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  const input = Float64Array.from({ length: N }, (_, i) => i)
  const copy = await repeat(params.times, 5000, async () => {
    const result = await pool.call('identity', input)
    check(result.length === N && result[N - 1] === N - 1 && input.length === N, '8 MB copied')
  })
  if (!pool.move) return { copy: settled(copy) }
  const moves = []
  let baton = Float64Array.from(input)
  for (let i = 0; i < params.times * 5; i++) {
    if (pool.movesArgumentOnly) baton = Float64Array.from(input)
    const sent = baton
    const from = performance.now()
    baton = await pool.move('identity', sent)
    moves.push(performance.now() - from)
    check(baton.length === N && baton[N - 1] === N - 1 && sent.length === 0, '8 MB moved')
  }
  const result = { copy: settled(copy), move: settled(moves) }
  return pool.movesArgumentOnly ? { ...result, note: 'argument only, the result is copied' } : result
}

/** Median without the first fifth. */
function settled(times) {
  return median(times.slice(Math.floor(times.length / 5)))
}
