// A million tiny tasks, one task per element, as the library's own documentation would have you write it. Bounded
// in time: who has not finished is reported with the bound, as "at least".
import { check, warm } from '../child/measure.mjs'

const N = 1e6

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  const inputs = Array.from({ length: N }, (_, i) => i)
  const from = performance.now()
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, params.budgetMs, 'late')
  })
  const results = await Promise.race([pool.map('square', inputs), late])
  clearTimeout(timer)
  const each = performance.now() - from
  if (results === 'late') return { each, atLeast: ['each'] }
  check(results.length === N && results[N - 1] === (N - 1) ** 2, 'square of 1e6 numbers')
  return { each }
}
