import type { Metric, Scenario, Target } from './model.ts'

const PEERS = ['piscina', 'tinypool', 'workerpool', 'poolifier']
const POOLS = ['dicomp', 'dicomp+process', ...PEERS, 'raw']

const ms = (key: string, title: string): Metric => ({ key, title, unit: 'ms', better: 'lower' })
const MB = (key: string, title: string): Metric => ({ key, title, unit: 'MB', better: 'lower' })
const rate: Metric = { key: 'rate', title: 'calls/s', unit: '/s', better: 'higher' }

const efficiency = (key: string, title: string): Metric => ({
  key,
  title,
  unit: '',
  better: 'higher',
  bound: { competitor: 'threads', key: 'map' },
})

function efficiencyOf(name: string, taskMs: number | 'skewed', totalMs: number, title: string): Scenario {
  return {
    name,
    title,
    file: 'efficiency',
    competitors: ['threads', ...POOLS, 'poolifier+queue', 'loop'],
    metrics: [efficiency('calls', 'one call per task'), efficiency('map', 'map')],
    rounds: 5,
    params: { taskMs, totalMs },
    limit: 60,
  }
}

/** What is measured, in the order of the report. Quick mode divides the rounds; it changes sizes only where `quick` says so. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'latency',
    title: 'One call after the other: time of a lone `await`',
    file: 'latency',
    competitors: POOLS,
    metrics: [
      { key: 'p50', title: 'p50', unit: 'µs', better: 'lower' },
      { key: 'p99', title: 'p99', unit: 'µs', better: 'lower' },
    ],
    rounds: 9,
    params: { warmup: 3000, calls: 6000 },
    limit: 60,
  },
  {
    name: 'calls',
    title: '100,000 calls at once, each with its own promise',
    file: 'calls',
    competitors: POOLS,
    metrics: [rate],
    rounds: 5,
    params: { calls: 100_000, budgetMs: 3000 },
    limit: 60,
  },
  {
    name: 'inflight',
    title: '1,000 calls in flight at any time',
    file: 'inflight',
    competitors: POOLS,
    metrics: [rate],
    rounds: 5,
    params: { window: 1000, ms: 1500 },
    limit: 60,
  },
  {
    name: 'map',
    title:
      'x => x * x over 1,000,000 numbers; peers: parts cut by hand (8 messages), dicomp: `map`; `loop` is a plain for',
    file: 'map',
    competitors: ['loop', ...POOLS],
    metrics: [
      ms('array', 'array'),
      ms('typed', 'Float64Array'),
      ms('arrayFirst', 'array, first time'),
      ms('typedFirst', 'Float64Array, first time'),
    ],
    rounds: 5,
    params: {},
    limit: 60,
  },
  {
    name: 'map-each',
    title:
      'x => x * x over 1,000,000 numbers, one task per element, as the documentation of each library has it',
    file: 'map-each',
    competitors: POOLS,
    metrics: [ms('each', 'array')],
    rounds: 1,
    params: { budgetMs: 20_000 },
    quick: { budgetMs: 4000 },
    limit: 90,
  },
  efficiencyOf('efficiency-1ms', 1, 1600, 'Tasks of 1 ms: time of two bare threads ÷ time of the pool'),
  efficiencyOf('efficiency-10ms', 10, 1600, 'Tasks of 10 ms: time of two bare threads ÷ time of the pool'),
  efficiencyOf('efficiency-100ms', 100, 2000, 'Tasks of 100 ms: time of two bare threads ÷ time of the pool'),
  efficiencyOf(
    'efficiency-skewed',
    'skewed',
    1000,
    'Tasks of 10 µs, one in forty of 20 ms: two bare threads ÷ pool',
  ),
  {
    name: 'transfer',
    title: 'A Float64Array of 8 MB there and back',
    file: 'transfer',
    competitors: POOLS,
    metrics: [ms('copy', 'copied'), ms('move', 'transferred')],
    rounds: 5,
    params: { times: 25 },
    limit: 60,
  },
  {
    name: 'cold',
    title: 'From the start of the process to the first result; `raw` is one bare worker',
    file: 'cold',
    competitors: [...POOLS, 'dicomp+nocache'],
    metrics: [ms('first', 'first result')],
    rounds: 15,
    params: {},
    limit: 30,
    rehearse: true,
    sinceStart: 'first',
  },
  {
    name: 'capture',
    title: 'Capture and bundle a function without dependencies: the first of the process, and the next',
    file: 'capture',
    competitors: ['dicomp'],
    metrics: [ms('first', 'first'), ms('next', 'next')],
    rounds: 9,
    params: {},
    limit: 30,
  },
  {
    name: 'memory',
    title: '1,000,000 calls that wait for busy slots: what they add',
    file: 'memory',
    competitors: POOLS,
    metrics: [
      MB('idlePss', 'idle, PSS'),
      MB('queuedPss', 'queued, PSS'),
      MB('queuedRss', 'queued, RSS'),
      MB('peakRss', 'peak, RSS'),
    ],
    rounds: 3,
    params: { calls: 1_000_000, busyMs: 15_000 },
    limit: 120,
  },
]

const of = (competitor: string, key: string) => ({ competitor, key })

/** What the project promises of itself. Printed with every report; nothing fails on it. */
export const TARGETS: readonly Target[] = [
  {
    title: 'calls/s of 100,000 at once, versus piscina',
    scenario: 'calls',
    ratio: { of: of('dicomp', 'rate'), to: of('piscina', 'rate') },
    goal: 25,
    reach: 'at least',
    unit: '×',
  },
  {
    title: 'calls/s of 100,000 at once, versus poolifier',
    scenario: 'calls',
    ratio: { of: of('dicomp', 'rate'), to: of('poolifier', 'rate') },
    goal: 10,
    reach: 'at least',
    unit: '×',
  },
  {
    title: 'call latency (p50), versus raw postMessage',
    scenario: 'latency',
    ratio: { of: of('dicomp', 'p50'), to: of('raw', 'p50') },
    goal: 1.1,
    reach: 'at most',
    unit: '×',
  },
  {
    title: 'map of 1e6 numbers in an array, versus the bare loop',
    scenario: 'map',
    ratio: { of: of('dicomp', 'array'), to: of('loop', 'array') },
    goal: 2.5,
    reach: 'at most',
    unit: '×',
  },
  {
    title: 'map of 1e6 numbers in a Float64Array, versus the bare loop',
    scenario: 'map',
    ratio: { of: of('dicomp', 'typed'), to: of('loop', 'typed') },
    goal: 2.5,
    reach: 'at most',
    unit: '×',
  },
  ...(['calls', 'map'] as const).flatMap((how): Target[] => [
    {
      title: `efficiency at 10 ms (${how}), versus two bare threads`,
      scenario: 'efficiency-10ms',
      ratio: { of: of('threads', 'map'), to: of('dicomp', how) },
      goal: 0.97,
      reach: 'at least',
      unit: '×',
    },
    {
      title: `efficiency at 1 ms (${how}), versus two bare threads`,
      scenario: 'efficiency-1ms',
      ratio: { of: of('threads', 'map'), to: of('dicomp', how) },
      goal: 0.94,
      reach: 'at least',
      unit: '×',
    },
  ]),
  {
    title: 'first result of a fresh process (cached bundle), versus raw worker start',
    scenario: 'cold',
    ratio: { of: of('dicomp', 'first'), to: of('raw', 'first') },
    goal: 1.5,
    reach: 'at most',
    unit: '×',
  },
  {
    title: 'capture and bundle, first',
    scenario: 'capture',
    ratio: { of: of('dicomp', 'first') },
    goal: 60,
    reach: 'at most',
    unit: 'ms',
  },
  {
    title: 'capture and bundle, next',
    scenario: 'capture',
    ratio: { of: of('dicomp', 'next') },
    goal: 2,
    reach: 'at most',
    unit: 'ms',
  },
]
