import { availableParallelism, cpus } from 'node:os'
import { type Cluster, connect } from '../index.ts'
import { formatCount } from '../progress/index.ts'
import { EXIT } from './exit.ts'

export interface BenchResult {
  machine: { cpu: string; cores: number; node: string; slots: number }
  /** Milliseconds from `connect()` to the first result, bundling included. */
  coldStartMs: number
  /** Milliseconds of one call, awaited before the next: median. */
  callMs: number
  /** Calls per second when 100,000 are made at once. */
  callsPerSecond: number
  /** What dicomp adds to each of them, in microseconds. */
  overheadUs: number
  /** Milliseconds of a map over a million numbers, and of the same loop here. */
  map: { arrayMs: number; float64Ms: number; loopMs: number }
  /** Speed-up over one slot divided by the number of slots, for tasks of so many milliseconds. */
  efficiency: { taskMs: number; tasks: number; speedup: number; efficiency: number }[]
}

const CALLS = 100_000
const NUMBERS = 1_000_000

/** Measures dicomp here. Resolves to the exit code. */
export async function bench(options: { slots?: number; json?: boolean }): Promise<number> {
  const result = await measure(options.slots ?? availableParallelism())
  process.stdout.write(options.json ? `${JSON.stringify(result, undefined, 2)}\n` : formatBench(result))
  return EXIT.ok
}

async function measure(slots: number): Promise<BenchResult> {
  const began = performance.now()
  const cluster = await connect({ slots })
  try {
    const same = cluster.distribute((x: number) => x)
    await same(1)
    const coldStartMs = performance.now() - began
    const callMs = await medianOf(500, () => same(1))
    const allMs = await bestOf(3, () => Promise.all(Array.from({ length: CALLS }, (_, i) => same(i))))
    return {
      machine: {
        cpu: cpus()[0]?.model.trim() ?? 'unknown',
        cores: availableParallelism(),
        node: process.version,
        slots,
      },
      coldStartMs,
      callMs,
      callsPerSecond: (CALLS / allMs) * 1000,
      overheadUs: (allMs / CALLS) * 1000,
      map: await measureMap(cluster),
      efficiency: [await measureEfficiency(cluster, slots, 1), await measureEfficiency(cluster, slots, 10)],
    }
  } finally {
    await cluster.close()
  }
}

async function measureMap(cluster: Cluster): Promise<BenchResult['map']> {
  const plain = (x: number) => x * 3 + 1
  const triple = cluster.distribute(plain)
  const array = Array.from({ length: NUMBERS }, (_, i) => i)
  const typed = Float64Array.from(array)
  const arrayMs = await bestOf(5, () => triple.map(array))
  const float64Ms = await bestOf(5, () => triple.map(typed))
  const loopMs = await bestOf(5, () => array.map((x) => plain(x)))
  return { arrayMs, float64Ms, loopMs }
}

async function measureEfficiency(cluster: Cluster, slots: number, taskMs: number) {
  const work = cluster.distribute((turns: number) => {
    let x = 1
    for (let i = 0; i < turns; i++) x = Math.sqrt(x + i)
    return x
  })
  // The length of a task is set inside a slot, where it will run.
  const probe = 2_000_000
  await work(probe)
  const probeMs = await bestOf(5, () => work(probe))
  const turns = Math.max(1, Math.round((probe * taskMs) / probeMs))
  const tasks = Math.round((200 * slots) / taskMs)
  const inputs = Array.from({ length: tasks }, () => turns)
  const aloneMs = await bestOf(2, () => work.map(inputs, { concurrency: 1 }))
  const togetherMs = await bestOf(3, () => work.map(inputs))
  const speedup = aloneMs / togetherMs
  return { taskMs, tasks, speedup, efficiency: speedup / slots }
}

async function bestOf(times: number, action: () => unknown): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    await action()
    best = Math.min(best, performance.now() - began)
  }
  return best
}

async function medianOf(times: number, action: () => unknown): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push(await bestOf(1, action))
  all.sort((a, b) => a - b)
  return all[times >> 1] ?? 0
}

/** The result as a person reads it. */
export function formatBench(result: BenchResult): string {
  const { machine, map } = result
  const slots = `${machine.slots} slot${machine.slots === 1 ? '' : 's'}`
  const rows: [string, string, string][] = [
    ['first result', `${result.coldStartMs.toFixed(0)} ms`, 'from connect(), starting the slots included'],
    ['one call', `${result.callMs.toFixed(3)} ms`, 'there and back, one after the other (median)'],
    ['calls', `${formatCount(result.callsPerSecond)}/s`, `${formatCount(CALLS)} at once`],
    ['overhead', `${result.overheadUs.toFixed(2)} µs`, 'a task, of those'],
    [
      'map, array',
      `${map.arrayMs.toFixed(1)} ms`,
      `1,000,000 numbers; the bare loop takes ${map.loopMs.toFixed(1)} ms`,
    ],
    [
      'map, Float64Array',
      `${map.float64Ms.toFixed(1)} ms`,
      `${formatCount(NUMBERS / (map.float64Ms / 1000))} tasks/s`,
    ],
    ...result.efficiency.map((row): [string, string, string] => [
      `tasks of ${row.taskMs} ms`,
      `${(row.efficiency * 100).toFixed(0)} %`,
      `efficiency: ${row.speedup.toFixed(2)} times as fast on ${slots} (${formatCount(row.tasks)} tasks)`,
    ]),
  ]
  const head = `${machine.cpu}, ${machine.cores} cores, Node.js ${machine.node}, ${slots}\n`
  return (
    head + rows.map(([name, value, what]) => `  ${name.padEnd(18)} ${value.padStart(14)}  ${what}\n`).join('')
  )
}
