import type { Metric, Scenario, Target } from '../../driver/model.ts'

const ALL = ['dicomp', 'ray', 'dask', 'dispy', 'bullmq']

const lower = (key: string, title: string, unit: string): Metric => ({ key, title, unit, better: 'lower' })
const higher = (key: string, title: string, unit: string): Metric => ({ key, title, unit, better: 'higher' })

/** What is measured, in the order of the report. `file` is the name of the function in node/ and python/. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'latency',
    title: 'One call after the other: submit, run, result',
    file: 'latency',
    competitors: ALL,
    metrics: [lower('p50', 'p50', 'µs'), lower('p99', 'p99', 'µs')],
    rounds: 3,
    params: { warmup: 200, calls: 3000, budgetMs: 4000 },
    quick: { calls: 1000, budgetMs: 2000 },
    limit: 60,
  },
  {
    name: 'burst',
    title: '10,000 and 100,000 no-op tasks at once, each with its own handle; `map` is one job of 100,000',
    file: 'burst',
    competitors: ALL,
    metrics: [
      higher('rate10k', '10,000', '/s'),
      higher('rate100k', '100,000', '/s'),
      higher('map100k', 'map', '/s'),
    ],
    rounds: 2,
    params: { budgetMs: 5000 },
    quick: { budgetMs: 3000 },
    limit: 120,
  },
  {
    name: 'tiny',
    title: 'x => x * x over 1,000,000 numbers, in the fast way of each',
    file: 'tiny',
    competitors: ALL,
    metrics: [lower('ms', 'all of them', 'ms')],
    rounds: 2,
    params: { count: 1_000_000, times: 3 },
    quick: { times: 2 },
    limit: 120,
  },
  {
    name: 'efficiency',
    title:
      'Tasks of 1, 10 and 100 ms, one handle each: time of two bare processes ÷ time of the cluster; of 10 and 100 ms the median of three jobs',
    file: 'efficiency',
    competitors: ALL,
    metrics: [higher('at1ms', '1 ms', ''), higher('at10ms', '10 ms', ''), higher('at100ms', '100 ms', '')],
    rounds: 2,
    params: { totalMs: 3000, passes: 3 },
    quick: { totalMs: 2000, passes: 1 },
    limit: 180,
  },
  {
    name: 'transfer',
    title: 'New bytes to every slot, until each has read them and said so',
    file: 'transfer',
    competitors: ALL,
    metrics: [lower('small', '1 MB', 'ms'), lower('large', '100 MB', 'ms')],
    rounds: 2,
    params: { smallTimes: 15, largeTimes: 3 },
    quick: { smallTimes: 5, largeTimes: 1 },
    limit: 120,
  },
  {
    name: 'memory',
    title: 'Tasks that wait for busy slots: what each adds to client, servers and nodes; a handle each',
    file: 'memory',
    competitors: ALL,
    metrics: [lower('bytes', 'per task', 'bytes'), higher('queued', 'queued', 'tasks')],
    rounds: 1,
    params: { count: 1_000_000, holdSeconds: 150, budgetMs: 10_000, settleMs: 15_000, how: 'calls' },
    quick: { budgetMs: 5000, settleMs: 5000 },
    limit: 150,
  },
  {
    name: 'memory-map',
    title: 'The same for one job of 1,000,000 tasks, inputs included',
    file: 'memory',
    competitors: ['dicomp'],
    metrics: [lower('bytes', 'per task', 'bytes'), higher('queued', 'queued', 'tasks')],
    rounds: 1,
    params: { count: 1_000_000, holdSeconds: 150, budgetMs: 30_000, settleMs: 15_000, how: 'map' },
    limit: 150,
  },
  {
    name: 'recovery',
    title: 'From kill -9 of a node, all of its processes, to its tasks running on the other',
    file: 'recovery',
    competitors: ALL,
    metrics: [lower('seconds', 'running again', 's')],
    rounds: 2,
    params: { holdSeconds: 150, limitSeconds: 90 },
    quick: { limitSeconds: 30 },
    limit: 130,
  },
  {
    name: 'fairness',
    title:
      'Until a small job begins behind a huge one; by how much two equal jobs end apart; whether what waits begins by priority',
    file: 'fairness',
    competitors: ['dicomp'],
    metrics: [
      lower('own', 'small, same program', 'ms'),
      lower('other', 'small, other program', 'ms'),
      lower('apart', 'two equal jobs', '%'),
      higher('order', 'by priority', ''),
    ],
    rounds: 3,
    params: { taskMs: 20, hugeTasks: 6000, equalTasks: 250, orderTasks: 60 },
    limit: 120,
  },
  {
    name: 'slow-node',
    title:
      'Two nodes with a slot each, one of which gets a tenth of the time: time ÷ that of the other one alone',
    file: 'slow',
    competitors: ['dicomp'],
    metrics: [lower('times', 'time', '×')],
    rounds: 3,
    params: { taskMs: 20, tasks: 250 },
    limit: 90,
  },
  {
    name: 'start',
    title: 'From nothing to the first result: servers, node, client',
    file: 'start',
    competitors: ALL,
    metrics: [lower('first', 'first result', 'ms')],
    rounds: 3,
    params: {},
    limit: 60,
    rehearse: true,
    sinceStart: 'first',
  },
  {
    name: 'idle',
    title: 'A cluster of two slots that has worked and now waits; CPU time of client, servers and nodes',
    file: 'idle',
    competitors: ALL,
    metrics: [
      lower('cpu', 'CPU', '%'),
      lower('cluster', 'servers and node', 'MB'),
      lower('client', 'client', 'MB'),
    ],
    rounds: 1,
    params: { settleMs: 2000, watchMs: 6000 },
    quick: { settleMs: 1000, watchMs: 4000 },
    limit: 60,
  },
]

const of = (competitor: string, key: string) => ({ competitor, key })
const dicomp = (key: string) => ({ of: of('dicomp', key) })
const versus = (competitor: string, key: string) => ({ of: of('dicomp', key), to: of(competitor, key) })

/** What the project promises of itself. Printed with every report; nothing fails on it. */
export const TARGETS: readonly Target[] = [
  {
    title: 'round trip (p50), versus Ray',
    scenario: 'latency',
    ratio: versus('ray', 'p50'),
    goal: 0.5,
    reach: 'at most',
    unit: '×',
  },
  ...(['rate10k', 'rate100k'] as const).flatMap((key) =>
    (['ray', 'dask'] as const).map(
      (peer): Target => ({
        title: `${key === 'rate10k' ? '10,000' : '100,000'} no-op tasks at once, tasks/s, versus ${peer === 'ray' ? 'Ray' : 'Dask'}`,
        scenario: 'burst',
        ratio: versus(peer, key),
        goal: 25,
        reach: 'at least',
        unit: '×',
      }),
    ),
  ),
  {
    title: '1,000,000 tiny tasks',
    scenario: 'tiny',
    ratio: dicomp('ms'),
    goal: 5000,
    reach: 'at most',
    unit: 'ms',
  },
  {
    title: 'efficiency at 1 ms',
    scenario: 'efficiency',
    ratio: dicomp('at1ms'),
    goal: 0.9,
    reach: 'at least',
    unit: '',
  },
  {
    title: 'efficiency at 10 ms',
    scenario: 'efficiency',
    ratio: dicomp('at10ms'),
    goal: 0.97,
    reach: 'at least',
    unit: '',
  },
  {
    title: 'from kill -9 of a node to its tasks running elsewhere',
    scenario: 'recovery',
    ratio: dicomp('seconds'),
    goal: 3,
    reach: 'at most',
    unit: 's',
  },
  ...(['own', 'other'] as const).map(
    (key): Target => ({
      title: `a small job behind a huge one of ${key === 'own' ? 'the same' : 'another'} program begins`,
      scenario: 'fairness',
      ratio: dicomp(key),
      goal: 1000,
      reach: 'at most',
      unit: 'ms',
    }),
  ),
  {
    title: 'two equal jobs end apart by',
    scenario: 'fairness',
    ratio: dicomp('apart'),
    goal: 20,
    reach: 'at most',
    unit: '%',
  },
  {
    title: 'a slow node does not hold the end: time versus without it',
    scenario: 'slow-node',
    ratio: dicomp('times'),
    goal: 1.1,
    reach: 'at most',
    unit: '×',
  },
  ...(['memory', 'memory-map'] as const).map(
    (scenario): Target => ({
      title: `memory per queued task, ${scenario === 'memory' ? 'each with its own promise' : 'one map'}`,
      scenario,
      ratio: dicomp('bytes'),
      goal: 300,
      reach: 'at most',
      unit: 'bytes',
    }),
  ),
]
