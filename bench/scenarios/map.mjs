// A million tiny tasks, x => x * x, the fast way that each library has: its own bulk map, or parts cut by hand.
import { check, median, repeat, warm } from '../child/measure.mjs'

const N = 1e6

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  if (!params.noWarmup) await warm(pool, params)
  const array = await measure(
    Array.from({ length: N }, (_, i) => i),
    (inputs) => (pool.bulk ? pool.map('square', inputs) : cutArray(pool, inputs, params.slots * 4)),
  )
  const typed = await measure(
    Float64Array.from({ length: N }, (_, i) => i),
    (inputs) => (pool.bulk ? pool.map('square', inputs) : cutTyped(pool, inputs, params.slots * 4)),
  )
  return { array: array.median, arrayFirst: array.first, typed: typed.median, typedFirst: typed.first }
}

async function measure(inputs, map) {
  const took = await repeat(12, 4000, async () => {
    const results = await map(inputs)
    check(
      results.length === N && results[N - 1] === (N - 1) ** 2 && results[777] === 777 ** 2,
      'square of 1e6 numbers',
    )
  })
  return { first: took[0], median: median(took.length > 4 ? took.slice(2) : took) }
}

async function cutArray(pool, inputs, parts) {
  const size = Math.ceil(inputs.length / parts)
  const pending = []
  for (let at = 0; at < inputs.length; at += size)
    pending.push(pool.call('squareAll', inputs.slice(at, at + size)))
  return [].concat(...(await Promise.all(pending)))
}

/** With transfer, which is what makes this the fast way. */
async function cutTyped(pool, inputs, parts) {
  const size = Math.ceil(inputs.length / parts)
  const pending = []
  for (let at = 0; at < inputs.length; at += size)
    pending.push(pool.move('squareAll', inputs.slice(at, at + size)))
  const results = new Float64Array(inputs.length)
  let at = 0
  for (const part of await Promise.all(pending)) {
    results.set(part, at)
    at += part.length
  }
  return results
}
