/** Engines: this computer, or a cluster. */
import { availableParallelism } from 'node:os'
import { DeferredEngine } from '../engine/deferred.ts'
import type { Engine } from '../engine/engine.ts'
import { LocalEngine } from '../engine/local.ts'
import { OptionError } from '../errors.ts'
import { Cluster, createDistribute, type Distribute, newPrograms } from './cluster.ts'
import type { Context } from './distribute.ts'
import { checkNames, resolveOptions, type TaskOptions, wholeNumber } from './options.ts'
import { type Size, show } from './quantities.ts'

/** How `connect` sets up an engine of its own. */
export interface ConnectOptions {
  /**
   * Link to a cluster, as `dicomp up` prints it, `@file` with one, or the address of a nats-server.
   * @default DICOMP_URL in the environment, unless `slots` or `isolation` ask for this computer
   */
  url?: string
  /** Slots of this computer that run at the same time, from 1. @default the number of cores that this process may use */
  slots?: number
  /** What the slots of this computer are. @default 'thread' */
  isolation?: 'thread' | 'process'
  /** Memory that one slot may use, see docs/isolation.md. @default its share of 75 % of this computer's, heap only */
  memory?: Size
  /** Environment variables of the slots, beside the usual ones. */
  env?: Record<string, string>
}

const CONNECT_NAMES: Record<keyof ConnectOptions, true> = {
  url: true,
  slots: true,
  isolation: true,
  memory: true,
  env: true,
}

/**
 * An engine of its own: a cluster, or this computer.
 * @param where a link to a cluster, `@file` with one, or options
 * @throws OptionError; for clusters, within five seconds, LinkError (malformed, expired, not for clients) and
 * ConnectError (nobody listens, wrong pin, credentials refused, server too old)
 */
export async function connect(where: string | ConnectOptions = {}): Promise<Cluster> {
  const options = typeof where === 'string' ? { url: where } : where
  checkNames(options, CONNECT_NAMES, 'options of connect()')
  const { slots, isolation, memory, env } = options
  const local = slots !== undefined || isolation !== undefined
  const url = options.url ?? (local ? undefined : clusterUrl())
  if (url !== undefined && typeof url !== 'string') {
    throw new OptionError(`Expected \`url\` to be a link to a cluster, got ${show(url)}`)
  }
  if (url !== undefined && local) {
    throw new OptionError(
      `\`${slots === undefined ? 'isolation' : 'slots'}\` is a matter of this computer, and \`url\` names a cluster`,
      'leave one of them out; nodes have their slots from `dicomp join --slots`',
    )
  }
  const defaults: Partial<TaskOptions> = {}
  if (isolation !== undefined) defaults.isolation = isolation
  if (memory !== undefined) defaults.memory = memory
  if (env !== undefined) defaults.env = env
  resolveOptions({}, defaults)
  if (url === undefined) {
    const count = wholeNumber('slots', slots ?? availableParallelism(), 1)
    return new Cluster(new LocalEngine({ slots: count }), defaults)
  }
  const { NatsEngine } = await import('../engine/nats/engine.ts')
  return new Cluster(await NatsEngine.open(url), defaults, true)
}

/** The link in the environment, where there is one. */
function clusterUrl(): string | undefined {
  return process.env.DICOMP_URL || undefined
}

let shared: Engine | undefined
const sharedContext: Context = {
  engine: () => (shared ??= defaultEngine()),
  programs: newPrograms(),
  defaults: {},
  get remote() {
    return clusterUrl() !== undefined
  },
}

function defaultEngine(): Engine {
  const url = clusterUrl()
  if (url === undefined) return new LocalEngine({ slots: availableParallelism() })
  const modules = Promise.all([import('../engine/nats/patient.ts'), import('../engine/nats/waiting.ts')])
  let why = (): string | undefined => undefined
  const opening = modules.then(([{ openPatiently }, { Waiting }]) => {
    const waiting = new Waiting()
    why = () => waiting.text(performance.now())
    return openPatiently(url, waiting)
  })
  return new DeferredEngine(opening, () => why())
}

/**
 * Wraps a function so that its calls run on every core of this computer, or of the cluster whose link is in
 * DICOMP_URL.
 */
export const distribute: Distribute = createDistribute(sharedContext)
