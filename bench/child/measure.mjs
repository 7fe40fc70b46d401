import { spin } from './ops.mjs'

export function median(values) {
  return percentile(values, 0.5)
}

/** Nearest-rank percentile. */
export function percentile(values, p) {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))]
}

/** Runs `once` at least once, then until it ran `times` times or `ms` have passed; the milliseconds of each run. */
export async function repeat(times, ms, once) {
  const took = []
  const end = performance.now() + ms
  do {
    const from = performance.now()
    await once()
    took.push(performance.now() - from)
  } while (took.length < times && performance.now() < end)
  return took
}

/** Starts every worker and lets the compiler see the message path: about 0.3 s of small tasks. */
export async function warm(pool, { slots, spinsPerMs }) {
  const tasks = new Array(slots * 8).fill(Math.round(spinsPerMs * 2))
  await repeat(100, 300, () =>
    pool.call ? Promise.all(tasks.map((n) => pool.call('spin', n))) : pool.map('spin', tasks),
  )
}

export function check(ok, what) {
  if (!ok) throw new Error(`wrong result: ${what}`)
}

/** Same generator everywhere: a competitor must not be lucky with the order of the tasks. */
export function random(seed) {
  let s = seed >>> 0
  return () => {
    s = (s + 0x6d2b79f5) >>> 0
    let t = Math.imul(s ^ (s >>> 15), 1 | s)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** How many `spin` iterations this core does in a millisecond. */
export function calibrate() {
  const rates = []
  for (let i = 0; i < 20; i++) {
    const from = performance.now()
    spin(5_000_000)
    rates.push(5_000_000 / (performance.now() - from))
  }
  return median(rates.slice(5))
}
