/**
 * What happens in one run: which work is submitted when, and what is broken when. All of it follows from one seed
 * (when exactly a fault hits which instruction does not: processes and networks have a randomness of their own).
 */
import { LOST_AFTER_MS } from '../../src/nats/settings.ts'
import { Random } from './random.ts'
import type { Kind } from './work.ts'

/**
 * How the client submits: all lead to the same outcomes. `detached`: another process does, and dies; the client finds
 * the job by its id.
 */
export type Via = 'settled' | 'stream' | 'submit' | 'calls' | 'detached'

export interface JobPlan {
  id: number
  kind: Kind
  tasks: number
  via: Via
  /** Milliseconds after the begin of the run. */
  at: number
}

/** A node by its number, or the client. */
export type Who = number | 'client'

export type Fault = { at: number } & (
  | { type: 'killNode'; node: number; back: number }
  | { type: 'stopNode'; node: number; ms: number }
  | { type: 'drainNode'; node: number; back: number }
  | { type: 'killSlot'; node: number }
  | { type: 'stopSlot'; node: number; ms: number }
  | { type: 'stopClient'; ms: number }
  | { type: 'killClient' }
  | { type: 'killDriver'; driver: number; back: number }
  | { type: 'stopDriver'; driver: number; ms: number }
  | { type: 'killServer'; server: number; signal: 'SIGKILL' | 'SIGTERM'; down: number }
  /** Its disk is gone too. */
  | { type: 'wipeServer'; server: number; down: number }
  | { type: 'stopServer'; server: number; ms: number }
  | { type: 'cutLink'; who: Who; ms: number }
  | { type: 'resetLink'; who: Who }
  | { type: 'stallLink'; who: Who; ms: number }
  | { type: 'slowLink'; who: Who; ms: number; delay: number }
  | { type: 'lossyLink'; who: Who; ms: number }
)

export interface Plan {
  seed: number
  servers: 1 | 3
  /** Slots of each node. */
  nodes: number[]
  /** Drivers of detached jobs. */
  drivers: number
  jobs: JobPlan[]
  faults: Fault[]
}

export interface PlanOptions {
  /** About this many. @default 5000 */
  tasks?: number
  /** Only these faults, each at least once. @default some of all */
  faults?: Fault['type'][]
  /** @default 1, and 3 in every eighth run */
  servers?: 1 | 3
  /** With detached jobs. @default in every third run */
  detached?: boolean
}

/** Work is submitted during this time; faults happen in it. */
const BUSY_MS = 7000
/** Shares of the tasks; the rest are few, since each takes long or breaks something. */
const MANY: [kind: Kind, share: number][] = [
  ['numbers', 0.5],
  ['values', 0.25],
  ['failing', 0.15],
  ['busy', 0.1],
]
const FEW: [kind: Kind, low: number, high: number][] = [
  ['sleepy', 60, 200],
  ['retrying', 10, 40],
  ['timed', 10, 30],
  ['crashing', 10, 30],
  ['poison', 5, 15],
  ['big', 4, 12],
  ['cancelled', 50, 150],
]

const ALL: Fault['type'][] = [
  'killNode',
  'stopNode',
  'drainNode',
  'killSlot',
  'stopSlot',
  'stopClient',
  'killClient',
  'killServer',
  'stopServer',
  'cutLink',
  'resetLink',
  'stallLink',
  'slowLink',
  'lossyLink',
]

const OF_DRIVERS: Fault['type'][] = ['killDriver', 'stopDriver']

export function planOf(seed: number, options: PlanOptions = {}): Plan {
  const random = new Random(seed)
  const drawn = random.chance(1 / 8) ? 3 : 1
  const servers = options.servers ?? drawn
  const detached = random.chance(1 / 3)
  const drivers = (options.detached ?? detached) ? 2 : 0
  const nodes = Array.from({ length: random.between(2, 3) }, () => random.between(1, 2))
  const jobs: JobPlan[] = []
  const add = (kind: Kind, tasks: number): void => {
    const vias: Via[] = ['settled', 'stream', 'submit', 'calls']
    const drawn = drivers > 0 && random.chance(0.3) ? 'detached' : random.pick(vias)
    const via = kind === 'cancelled' ? 'submit' : drawn
    jobs.push({ id: jobs.length, kind, tasks, via, at: random.between(0, BUSY_MS) })
  }
  for (const [kind, share] of MANY) {
    // In several jobs, so that there is always something under way.
    const parts = random.between(2, 4)
    const tasks = Math.round(((options.tasks ?? 5000) * share) / parts)
    for (let part = 0; part < parts; part++) add(kind, Math.max(1, tasks))
  }
  for (const [kind, low, high] of FEW)
    if (kind === 'sleepy' || random.chance(0.6)) add(kind, random.between(low, high))
  // Something is there from the first moment on.
  for (const job of jobs.slice(0, 2)) job.at = 0

  // Those that were asked for happen, each at least once.
  const types = [...(options.faults ?? [])]
  const count = options.faults?.length === 0 ? 0 : random.between(2, 6)
  // Detached jobs are lost with the only disk, as documented; others are not.
  const more: Fault['type'][] = drivers > 0 ? OF_DRIVERS : servers === 1 ? ['wipeServer'] : []
  const possible = options.faults ?? [...ALL, ...more]
  while (types.length < count) types.push(random.pick(possible))
  const faults = types.map((type) => faultOf(type, random, nodes.length, servers))
  return { seed, servers, nodes, drivers, jobs, faults: faults.sort((a, b) => a.at - b.at) }
}

function faultOf(type: Fault['type'], random: Random, nodes: number, servers: number): Fault {
  const at = random.between(300, BUSY_MS)
  const node = random.between(0, nodes - 1)
  const server = random.between(0, servers - 1)
  const who: Who = random.chance(0.3) ? 'client' : node
  // Half of them long enough that the others give it up.
  const ms = random.chance(0.5) ? LOST_AFTER_MS + random.between(300, 2500) : random.between(100, 1800)
  switch (type) {
    case 'killNode':
    case 'drainNode':
      return { at, type, node, back: random.between(0, 1500) }
    case 'stopNode':
    case 'stopSlot':
      return { at, type, node, ms }
    case 'killDriver':
      return { at, type, driver: random.between(0, 1), back: random.between(0, 1500) }
    case 'stopDriver':
      return { at, type, driver: random.between(0, 1), ms }
    case 'stopClient':
      return { at, type, ms }
    case 'killServer':
      return { at, type, server, signal: random.pick(['SIGKILL', 'SIGTERM']), down: random.between(0, 2500) }
    case 'wipeServer':
      return { at, type, server, down: random.between(0, 2500) }
    case 'stopServer':
      return { at, type, server, ms: Math.min(ms, 3000) }
    case 'killSlot':
      return { at, type, node }
    case 'killClient':
      return { at, type }
    case 'resetLink':
      return { at, type, who }
    case 'slowLink':
      return { at, type, who, ms, delay: random.between(20, 400) }
    default:
      return { at, type, who, ms }
  }
}

/** For people. */
export function describePlan({ seed, servers, nodes, drivers, jobs, faults }: Plan): string {
  const tasks = jobs.reduce((sum, job) => sum + job.tasks, 0)
  const head = `seed ${seed}: ${servers} server${servers > 1 ? 's' : ''}, nodes of ${nodes.join('+')} slots, ${drivers} drivers, ${tasks} tasks in ${jobs.length} jobs`
  return [head, ...faults.map(({ at, type, ...rest }) => `  ${at} ms ${type} ${JSON.stringify(rest)}`)].join(
    '\n',
  )
}
