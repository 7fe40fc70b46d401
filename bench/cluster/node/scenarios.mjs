// The scenarios, for competitors in JavaScript; ../python/scenarios.py has the same for those in Python.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { calibrate, check, median, percentile } from '../../child/measure.mjs'
import { Bare } from './bare.mjs'
import { cpuMs, killTree, pss, tree } from './processes.mjs'

const range = (n) => Array.from({ length: n }, (_, i) => i)

/** Every worker process has started, loaded what it needs, and answered. */
const warm = (pool, slots) => pool.burst('identity', range(slots * 8))

const begin = async (open, params, nodes = 1) => {
  const pool = await open({ ...params, nodes })
  await warm(pool, params.slots * nodes)
  return pool
}

export async function latency(open, p) {
  const pool = await begin(open, p)
  for (let i = 0; i < p.warmup; i++) await pool.call('identity', i)
  const micros = []
  const end = performance.now() + p.budgetMs
  while (micros.length < p.calls && (performance.now() < end || micros.length < 20)) {
    const from = performance.now()
    const result = await pool.call('identity', micros.length)
    micros.push((performance.now() - from) * 1000)
    check(result === micros.length - 1, 'identity')
  }
  const note = micros.length < p.calls ? `${micros.length} calls within ${p.budgetMs / 1000} s` : undefined
  return { p50: percentile(micros, 0.5), p99: percentile(micros, 0.99), note }
}

/** 10,000 and 100,000 at once; where that would take longer than the budget, as many as fit, and their rate. */
export async function burst(open, p) {
  const pool = await begin(open, p)
  const rate = async (n, how = 'burst') => {
    const inputs = range(n)
    const from = performance.now()
    const results = await pool[how]('identity', inputs)
    const seconds = (performance.now() - from) / 1000
    check(results.length === n && results.every((x, i) => x === i), `a burst of ${n}`)
    return n / seconds
  }
  let seen = await rate(200)
  seen = await rate(Math.max(200, Math.min(2000, Math.round(seen))))
  const values = {}
  const notes = []
  for (const [key, wanted] of [
    ['rate10k', 10_000],
    ['rate100k', 100_000],
  ]) {
    const n = Math.max(200, Math.min(wanted, Math.round((seen * p.budgetMs) / 1000)))
    values[key] = seen = await rate(n)
    if (n < wanted) notes.push(`${n.toLocaleString('en-US')} instead of ${wanted.toLocaleString('en-US')}`)
  }
  if (pool.map) values.map100k = await rate(100_000, 'map')
  return { ...values, note: notes.join(', ') || undefined }
}

export async function tiny(open, p) {
  const pool = await begin(open, p)
  const took = []
  let note
  for (let i = 0; i < p.times; i++) {
    const inputs = range(p.count)
    const from = performance.now()
    const { results, how } = await pool.squares(inputs, p.slots * 4)
    took.push(performance.now() - from)
    note = how
    const ok = results.length === p.count && results[p.count - 1] === (p.count - 1) ** 2
    check(ok && results[777] === 777 ** 2, 'square')
  }
  return { ms: median(took), note }
}

export async function efficiency(open, p) {
  const bare = await Bare.start(p.slots)
  const perMs = calibrate()
  const bound = () => bare.measure(p.slots * 10, Math.round((perMs * p.totalMs) / p.slots / 10))
  await bound()
  const pool = await begin(open, p)
  await pool.burst('spin', new Array(200).fill(Math.round(perMs)))
  // A job of a second and a half says little on a machine with neighbours: the median of several, interleaved.
  const seen = { 1: [], 10: [], 100: [] }
  let before = await bound()
  for (const ms of [1, ...Array.from({ length: p.passes }, () => [10, 100]).flat()]) {
    const inputs = new Array(Math.round(p.totalMs / ms)).fill(Math.round(perMs * ms))
    const from = performance.now()
    const results = await pool.burst('spin', inputs)
    const took = performance.now() - from
    const after = await bound()
    check(results.length === inputs.length && results.every((x) => x === results[0]), 'spin')
    seen[ms].push((before + after) / 2 / took)
    before = after
  }
  bare.stop()
  return Object.fromEntries(Object.entries(seen).map(([ms, values]) => [`at${ms}ms`, median(values)]))
}

export async function transfer(open, p) {
  const pool = await begin(open, p)
  const values = {}
  let alone = 0
  for (const [key, size, times] of [
    ['small', 1e6, p.smallTimes],
    ['large', 1e8, p.largeTimes],
  ]) {
    const took = []
    for (let i = 0; i <= times; i++) {
      // Other bytes each time, so that nobody has them already.
      const block = randomBytes(1 << 16)
      const data = new Uint8Array(size)
      for (let at = 0; at < size; at += block.length) data.set(block.subarray(0, size - at), at)
      let sum = 0
      for (let at = 0; at < size; at += 4096) sum += data[at]
      const from = performance.now()
      const results = await pool.everywhere('touch', data, p.slots)
      took.push(performance.now() - from)
      check(
        results.length === p.slots && results.every((r) => r[0] === size && r[1] === sum),
        'bytes that arrived',
      )
      alone += new Set(results.map((r) => r[2])).size < p.slots
    }
    values[key] = median(took.slice(1))
  }
  return { ...values, note: alone ? `one slot took all, ${alone} times` : undefined }
}

/** `p.how`: 'calls' each on their own, or one 'map'. */
export async function memory(open, p) {
  const pool = await begin(open, p)
  await pool.burst('identity', range(500))
  const busy = Array.from({ length: p.slots }, () => pool.call('hold', p.holdSeconds))
  await sleep(1000)
  const before = await settled(p)
  const handles = []
  let queued = 0
  const end = performance.now() + p.budgetMs
  if (p.how === 'map') handles.push(pool.map('identity', range((queued = p.count))))
  else
    for (; queued < p.count && performance.now() < end; queued += 10_000)
      handles.push(await pool.queue('identity', range(10_000)))
  const bytes = ((await settled(p)) - before) / queued
  check(busy.length === p.slots && handles.length > 0, 'queue')
  const fits = `${queued.toLocaleString('en-US')} tasks, what fits in ${p.budgetMs / 1000} s`
  return { bytes, queued, note: queued < p.count ? fits : undefined }
}

/** Bytes of all processes, once they hold still: a server may be behind its client. */
async function settled(p) {
  globalThis.gc?.()
  let last = pss(tree(process.pid))
  const end = performance.now() + p.settleMs
  while (performance.now() < end) {
    await sleep(700)
    const now = pss(tree(process.pid))
    if (Math.abs(now - last) < 0.005 * last) return now
    last = now
  }
  return last
}

/** Two nodes of as many slots as there are tasks; one dies with all of its processes. */
export async function recovery(open, p) {
  const pool = await begin(open, p, 2)
  const path = join(mkdtempSync(join(tmpdir(), 'bench-')), 'runs')
  const handles = range(p.slots).map((i) => pool.call('announce', [path, i, p.holdSeconds]))
  for (const handle of handles) handle.catch(() => {})
  const runs = () =>
    !existsSync(path)
      ? []
      : readFileSync(path, 'utf8')
          .split('\n')
          .slice(0, -1)
          .map((line) => {
            const [index, pid, at] = line.split(' ').map(Number)
            return { index, pid, at }
          })
  await until(() => runs().length >= p.slots, 30, 'the tasks began')
  await sleep(1000)
  const first = runs()
  const victim = pool.nodes().find((pid) => tree(pid).includes(first[0].pid))
  const gone = new Set(tree(victim))
  const lost = first.filter(({ pid }) => gone.has(pid)).map(({ index }) => index)
  const killed = Number(process.hrtime.bigint())
  killTree(victim)
  const again = () => runs().filter(({ at }) => at > killed)
  await until(
    () => lost.every((index) => again().some((run) => run.index === index)),
    p.limitSeconds,
    'they ran elsewhere',
  )
  return { seconds: (Math.max(...again().map(({ at }) => at)) - killed) / 1e9 }
}

async function until(condition, seconds, what) {
  const end = performance.now() + seconds * 1000
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
    await sleep(5)
  }
}

/** Who gets what when there is more work than slots. */
export async function fairness(open, p) {
  const pool = await begin(open, p)
  const others = [await pool.client(), await pool.client()]
  await Promise.all(others.map(({ work }) => work.map(new Array(20).fill(5))))
  const took = async (job) => {
    const from = performance.now()
    await job
    return performance.now() - from
  }

  // A small job behind one that would take a minute: of the same program, and of another.
  const waits = []
  for (const { work } of [pool.ops, others[0]]) {
    const huge = pool.ops.work.submit(new Array(p.hugeTasks).fill(p.taskMs))
    await sleep(2000)
    const from = Date.now()
    waits.push((await work(1)) - from)
    huge.cancel()
    await huge.results().catch(() => {})
    await sleep(500)
  }

  // Two equal jobs, begun together by two programs.
  const inputs = new Array(p.equalTasks).fill(p.taskMs)
  const [a, b] = await Promise.all(others.map(({ work }) => took(work.map(inputs))))

  // What waits begins by priority: the urgent job came last.
  const begun = await Promise.all(
    [-10, 0, 10].map((priority) => pool.ops.work.map(new Array(p.orderTasks).fill(p.taskMs), { priority })),
  )
  const [low, normal, high] = begun.map((times) => median(times))

  return {
    own: waits[0],
    other: waits[1],
    apart: (Math.abs(a - b) / Math.max(a, b)) * 100,
    order: high < normal && normal < low ? 1 : 0,
  }
}

/** Two nodes with a slot each, one of which gets a tenth of the time: how long, in times of the other one alone. */
export async function slow(open, p) {
  const pool = await begin(open, { ...p, slots: 1 }, 2)
  const all = tree(pool.nodes()[1])
  const signal = (name) => {
    for (const pid of all) process.kill(pid, name)
  }
  let tick = 0
  const timer = setInterval(() => signal(tick++ % 10 === 0 ? 'SIGCONT' : 'SIGSTOP'), 20)
  const from = performance.now()
  await pool.map('work', new Array(p.tasks).fill(p.taskMs))
  const seconds = (performance.now() - from) / 1000
  clearInterval(timer)
  signal('SIGCONT')
  return { times: (seconds * 1000) / (p.tasks * p.taskMs) }
}

export async function start(open, p) {
  const pool = await open({ ...p, nodes: 1 })
  check((await pool.call('identity', 1)) === 1, 'identity')
  return { at: String(process.hrtime.bigint()) }
}

export async function idle(open, p) {
  await begin(open, p)
  await sleep(p.settleMs)
  const all = tree(process.pid)
  const from = performance.now()
  const used = cpuMs(all)
  await sleep(p.watchMs)
  const cpu = ((cpuMs(all) - used) / (performance.now() - from)) * 100
  const cluster = pss(all.filter((pid) => pid !== process.pid)) / 2 ** 20
  return { cpu, cluster, client: pss([process.pid]) / 2 ** 20 }
}
