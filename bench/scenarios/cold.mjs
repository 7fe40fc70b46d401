// From the start of the process to the first result. The driver subtracts: both ends read the same monotonic clock.
export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: 1 })
  const result = await pool.call('identity', 42)
  const at = process.hrtime.bigint()
  if (result !== 42) throw new Error('wrong result: identity(42)')
  return { at: String(at) }
}
