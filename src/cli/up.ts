import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { parseSize } from '../api/quantities.ts'
import type { DriverEvent } from '../detached/driver.ts'
import { OptionError } from '../errors.ts'
import { openConnection } from '../nats/connection.ts'
import { layOut } from '../nats/layout.ts'
import { describeLink, formatLink, type Link, parseLink } from '../nats/link.ts'
import { hostPort } from '../nats/probe.ts'
import { isToken, newIdentity } from '../nats/subjects.ts'

import type { Agent, AgentEvent } from '../node/agent.ts'
import {
  type ClusterState,
  defaultDataDir,
  filesOf,
  hostAndPort,
  linkOf,
  linkTo,
  makePrivate,
  openCluster,
  reachable,
  type ServerEvent,
  startServer,
  takeOwnership,
  watchExpiry,
} from '../server/index.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { readLinkText } from './link-text.ts'
import { aborted, EndSignals } from './signals.ts'

export interface UpOptions {
  host: string
  port: number
  advertise?: string
  pool: string
  data?: string
  node: boolean
  slots?: number
  /** As the API takes sizes. */
  memoryLimit?: string
  diskLimit?: string
  /** Link of a nats-server that runs already. */
  engine?: string
  json?: boolean
}

/** Stored values take this part of the limit of the disk; the rest is for what must not wait for their removal. */
const VALUE_SHARE = 0.8

/** With less there is no room for the queue, or for what is kept of jobs. */
const LEAST_BYTES = 64e6

/** Tells what happens: lines on stderr, or JSON lines on stdout. */
type Tell = (event: { event: string } & Record<string, unknown>, line: string) => void

/** What `up` has started, or found. */
interface Cluster {
  /** Of this computer's node. */
  node: Link
  /** Of what drives detached jobs; undefined where the link does not allow that. */
  driver: Link | undefined
  /** For other computers, and for programs. Secret. */
  links: { join: string; client: string }
  /** The same in files, where there are any. */
  files: { join: string; client: string } | undefined
  /** Other computers do not reach it. */
  loopback: boolean
  facts: Record<string, unknown>
  headline: string
}

/** Runs a cluster until a signal ends it. Resolves to the exit code. */
export async function up(options: UpOptions): Promise<number> {
  if (!isToken(options.pool)) {
    throw new OptionError(
      `--pool must be up to 64 letters, digits, - and _, got ${JSON.stringify(options.pool)}`,
    )
  }
  for (const name of ['host', 'advertise'] as const) {
    const value = options[name]
    if (value !== undefined && !isIP(value) && !/^[A-Za-z0-9._-]+$/.test(value)) {
      throw new OptionError(
        `--${name} must be an address or a name of a computer, got ${JSON.stringify(value)}`,
      )
    }
  }
  const tell: Tell = options.json
    ? (event) => process.stdout.write(`${JSON.stringify(event)}\n`)
    : (_, line) => process.stderr.write(`${line}\n`)
  const signals = new EndSignals()
  const undo: (() => unknown)[] = [() => signals.release()]
  try {
    const cluster =
      options.engine === undefined
        ? await startCluster(options, tell, signals.first, undo)
        : await useCluster(options.engine)
    if (!options.node && options.engine !== undefined) {
      report(cluster, undefined, options.json)
      return EXIT.ok
    }
    const agent = options.node ? await startNode(cluster.node, options.slots, tell) : undefined
    if (agent) undo.push(() => agent.stop())
    const stopDriver = cluster.driver && (await startDriver(cluster.driver, tell))
    if (stopDriver) undo.push(stopDriver)
    report(cluster, agent, options.json)
    await aborted(signals.first)
    tell({ event: 'ending' }, 'Ending; once more to end at once.')
    const left = async () => {
      // Before the node: what runs for its jobs is not waited for, it is done again.
      await stopDriver?.()
      await agent?.drain()
    }
    await Promise.race([left(), aborted(signals.second)])
    return signals.second.aborted ? exitCodeOf(signals.last ?? 'SIGINT') : EXIT.ok
  } catch (error) {
    if (signals.first.aborted) return exitCodeOf(signals.last ?? 'SIGINT')
    throw error
  } finally {
    for (const each of undo.reverse()) await each()
  }
}

/** A nats-server of our own. */
async function startCluster(
  options: UpOptions,
  tell: Tell,
  signal: AbortSignal,
  undo: (() => unknown)[],
): Promise<Cluster> {
  const dir = resolve(options.data ?? defaultDataDir())
  makePrivate(dir)
  undo.push(await takeOwnership(dir))
  const state = await openCluster(dir, {
    host: options.host,
    port: options.port,
    advertise: options.advertise ?? advertised(options.host),
    pool: options.pool,
    ...(options.memoryLimit && { memoryLimit: limit(options.memoryLimit, '--memory-limit') }),
    ...(options.diskLimit && { diskLimit: limit(options.diskLimit, '--disk-limit') }),
  })
  const link = linkTo(state, state.own.node, state.own.node.seed, reachable(options.host))
  const onEvent = (event: ServerEvent) => {
    if (event.type === 'died') {
      tell({ event: 'server-died', how: event.how }, `nats-server ended (${event.how}); starting it again`)
    } else if (event.type === 'back') {
      // Queues were in its memory.
      prepare(link, state).then(
        () => tell({ event: 'server-back', pid: event.pid }, 'nats-server is back'),
        (error: Error) => tell({ event: 'warning', message: error.message }, error.message),
      )
    } else {
      tell({ event: 'warning', message: event.error.message }, event.error.message)
    }
  }
  const server = await startServer(dir, { onEvent, signal })
  undo.push(() => server.stop())
  await prepare(link, state)
  undo.push(watchExpiry(dir, (error) => tell({ event: 'warning', message: error.message }, error.message)))
  const address = hostAndPort(options.host, options.port)
  const files = filesOf(dir)
  return {
    node: link,
    driver: linkTo(state, state.own.driver, state.own.driver.seed, reachable(options.host)),
    links: { join: printedLink(state, 'node'), client: printedLink(state, 'client') },
    files: { join: files.link('node'), client: files.link('client') },
    loopback: isLoopback(state.settings.advertise),
    facts: {
      cluster: state.cluster,
      pool: options.pool,
      address,
      folder: dir,
      server: { pid: server.pid, version: server.version },
    },
    headline: `The cluster is up: ${address}, pool ${options.pool}, nats-server ${server.version}; it is kept in ${dir}`,
  }
}

function limit(text: string, option: string): number {
  const bytes = parseSize(text, option)
  if (bytes >= LEAST_BYTES) return bytes
  throw new OptionError(`${option} must be 64 MB or more, got ${text}`)
}

/** A nats-server that runs already, with its own credentials. */
async function useCluster(engine: string): Promise<Cluster> {
  const link = parseLink(readLinkText(engine, 'dicomp up --engine'))
  await prepare(link)
  const text = formatLink(link)
  return {
    node: link,
    driver: link.role === 'node' ? undefined : link,
    links: { join: text, client: text },
    files: undefined,
    loopback: link.servers.every((server) => isLoopback(hostPort(server).host)),
    facts: { servers: link.servers, pool: link.pool },
    headline: `The engine is ready: ${describeLink(link)}`,
  }
}

/** Queues and store, where they are not there. */
async function prepare(link: Link, state?: ClusterState): Promise<void> {
  const connection = await openConnection(link, { role: 'node', identity: newIdentity(link.name) })
  try {
    await layOut(connection, state && { maxBytes: Math.floor(state.settings.diskLimit * VALUE_SHARE) })
  } finally {
    await connection.close()
  }
}

async function startNode(link: Link, slots: number | undefined, tell: Tell): Promise<Agent> {
  const { Agent } = await import('../node/agent.ts')
  const onEvent = (event: AgentEvent) => {
    const line = describeEvent(event)
    if (line) tell({ event: `node-${event.type}` }, line)
  }
  return Agent.start(link, { onEvent, ...(slots !== undefined && { slots }) })
}

/** @returns what ends it */
async function startDriver(link: Link, tell: Tell): Promise<() => Promise<void>> {
  const { Driver } = await import('../detached/driver.ts')
  const onEvent = (event: DriverEvent) => {
    if (event.type !== 'trouble') return
    const of = event.job === undefined ? '' : ` of ${event.job}`
    tell(
      { event: 'driver-trouble', message: event.error.message },
      `Detached jobs${of}: ${event.error.message}`,
    )
  }
  const driver = await Driver.start(link, { onEvent })
  let stopped: Promise<void> | undefined
  return () => {
    stopped ??= driver.stop()
    return stopped
  }
}

/** What is worth a line beside those about the server. */
function describeEvent(event: AgentEvent): string | undefined {
  switch (event.type) {
    case 'draining':
      return event.running > 0 ? `Waiting for ${event.running} tasks that run here` : undefined
    case 'refused':
    case 'trouble':
      return `The node of this computer: ${event.error.message}`
    case 'dropped':
      return `The node of this computer dropped a message at ${event.subject}: ${event.why}`
    default:
      return undefined
  }
}

function printedLink(state: ClusterState, name: string): string {
  const token = state.tokens.find((each) => each.name === name && each.revoked === undefined)
  return token?.seed === undefined ? '' : linkOf(state, token, token.seed)
}

/** Secrets go to a person's terminal, or to who asked for JSON: not into the journal of a service. */
function report(cluster: Cluster, agent: Agent | undefined, json: boolean | undefined): void {
  const node = agent?.name
  if (json) {
    const event = { event: 'up', ...cluster.facts, ...cluster.links, ...(node && { node }) }
    process.stdout.write(`${JSON.stringify(event)}\n`)
    return
  }
  const { links, files } = cluster
  const shown = process.stdout.isTTY === true
  const join = shown ? `'${links.join}'` : files ? `@${files.join}` : '<the same link>'
  const client = shown ? `'${links.client}'` : files ? `"$(cat ${files.client})"` : '<the same link>'
  process.stdout.write(
    [
      cluster.headline,
      agent
        ? `This computer works in it, as ${agent.name}, with ${agent.slots} slots.`
        : 'This computer does not work in it (--no-node).',
      '',
      cluster.loopback
        ? 'More computers cannot reach it: it listens to this one only. (dicomp up --host <address>)\nAnother node here:'
        : 'On each other computer:',
      `  npx dicomp join ${join}`,
      '',
      'To use it:',
      `  export DICOMP_URL=${client}`,
      '',
    ].join('\n'),
  )
}

/** An address of this computer that others may know. */
function advertised(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outer = addresses.filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
  const chosen = outer.find(({ family }) => family === 'IPv4') ?? (host === '::' ? outer[0] : undefined)
  return chosen?.address ?? reachable(host)
}

const isLoopback = (host: string): boolean => /^(127\.|localhost$|::1$)/.test(host)
