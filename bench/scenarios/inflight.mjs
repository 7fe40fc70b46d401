// A window that is always full: what a server or a stream does.
import { check, warm } from '../child/measure.mjs'

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  let done = 0
  let stop = false
  const lane = async (n) => {
    while (!stop) {
      check((await pool.call('identity', n)) === n, `identity(${n})`)
      done++
    }
  }
  const lanes = Array.from({ length: params.window }, (_, n) => lane(n))
  const until = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  await until(500)
  const from = performance.now()
  const before = done
  await until(params.ms)
  const rate = (done - before) / ((performance.now() - from) / 1000)
  stop = true
  await Promise.all(lanes)
  return { rate }
}
