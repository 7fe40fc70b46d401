// A million calls that wait: what a queued call weighs. All slots are busy meanwhile, so that nothing drains.
import { existsSync, readFileSync } from 'node:fs'
import { check, warm } from '../child/measure.mjs'

export async function run(competitor, params) {
  const pool = await competitor.open({ ...params, minimum: params.slots })
  await warm(pool, params)
  for (let i = 0; i < 2000; i++) await pool.call('identity', i)
  await settle(500)
  const idle = memory()
  const pending = new Array(params.calls)
  const busy = Array.from({ length: params.slots }, () =>
    pool.call('spin', Math.round(params.busyMs * params.spinsPerMs)),
  )
  // The slots take their long task before the queue fills behind it.
  await settle(20)
  for (let i = 0; i < params.calls; i++) pending[i] = pool.call('identity', i)
  // One turn of the event loop: whatever the library does with a burst (batching, sending ahead), it has begun.
  await settle(20)
  const queued = memory()
  check(busy.length === params.slots && pending.length === params.calls, 'the queue')
  return {
    idlePss: idle.pss,
    queuedPss: queued.pss - idle.pss,
    queuedRss: queued.rss - idle.rss,
    peakRss: queued.peak - idle.rss,
  }
}

const settle = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** MB of this process and its children; PSS counts a shared page once (Linux only; RSS elsewhere). */
function memory() {
  if (!existsSync('/proc/self/smaps_rollup')) {
    const rss = process.memoryUsage.rss() / 2 ** 20
    return { rss, pss: rss, peak: process.resourceUsage().maxRSS / 1024 }
  }
  const sum = { rss: 0, pss: 0, peak: 0 }
  for (const pid of [process.pid, ...children(process.pid)]) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    sum.rss += field(rollup, 'Rss')
    sum.pss += field(rollup, 'Pss')
    sum.peak += field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM')
  }
  return sum
}

function field(text, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1024
}

function children(pid) {
  const direct = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
    .map(Number)
  return direct.flatMap((child) => [child, ...children(child)])
}
