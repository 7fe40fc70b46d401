/** A connection to the cluster's nats-server that reconnects for ever, and says clearly why it cannot begin. */
import type { Socket } from 'node:net'
import type { ConnectionOptions, Msg, NatsConnection, RequestOptions } from '@nats-io/transport-node'
import { ClosedError, ConnectError, LinkError, OptionError } from '../errors.ts'
import { isDenied, isTimeout, isUnknownUser, LostConnection } from './failures.ts'
import { describeLink, type Link, type Role } from './link.ts'
import { type Probe, probe } from './probe.ts'
import { MINIMUM_SERVER } from './settings.ts'
import { inboxOf, isIdentity } from './subjects.ts'

export type { Role } from './link.ts'
export type ConnectionStatus = 'connected' | 'disconnected' | 'reconnected'

export interface OpenOptions {
  role: Role
  /** `newIdentity(link.name)`. */
  identity: string
  /** All attempts together. @default 4500 */
  connectTimeoutMs?: number
}

/** Within the 5 seconds in which every trouble is said. */
const CONNECT_TIMEOUT_MS = 4500
/** Three of these without an answer and the connection is taken for dead. */
const PING_MS = 5000
/** Between attempts to reconnect: quick for one, spread out for a thousand nodes. */
const RECONNECT_MS = 150
const RECONNECT_JITTER_MS = 200
/** A first refusal is taken for final only when there is a second one, this much later. */
const REFUSED_MS = 250
/** Longest wait for what is still to be sent when the connection is closed. */
const FLUSH_MS = 1000

export class Connection {
  readonly nc: NatsConnection
  readonly pool: string
  readonly identity: string
  readonly role: Role
  readonly link: Link
  /** Resolves when it is over for good: closed here (undefined), or refused by the server (why). */
  readonly closed: Promise<Error | undefined>
  #held = true
  #up = true
  #statusListeners = new Set<(status: ConnectionStatus) => void>()
  #errorListeners = new Set<(error: Error) => void>()

  constructor(nc: NatsConnection, link: Link, options: OpenOptions) {
    this.nc = nc
    this.link = link
    this.pool = link.pool
    this.identity = options.identity
    this.role = options.role
    this.closed = nc.closed().then((error) => {
      this.#up = false
      return error ? explain(error, link) : undefined
    })
    void this.#follow()
  }

  /** Largest message, bytes. */
  get maxPayload(): number {
    return this.nc.info?.max_payload ?? 1 << 20
  }

  get serverVersion(): string {
    return this.nc.info?.version ?? ''
  }

  /** Whether the server is there now, as far as is known. */
  get up(): boolean {
    return this.#up
  }

  /**
   * A request that fails at once when the connection is lost; the library's own would wait for its timeout.
   * @throws ConnectError (DICOMP_E_ACCESS) not allowed; LostConnection; errors of the client library: no responders,
   * timeout, connection closed
   */
  async request(subject: string, data: Uint8Array | string, options: RequestOptions): Promise<Msg> {
    let stop = () => {}
    const lost = new Promise<never>((_, reject) => {
      stop = this.onStatus((status) => {
        if (status === 'disconnected') reject(new LostConnection())
      })
    })
    try {
      return await Promise.race([this.nc.request(subject, data, options), lost])
    } catch (error) {
      throw isDenied(error) ? explain(error, this.link) : error
    } finally {
      stop()
    }
  }

  /**
   * Waits until the server is there.
   * @throws ClosedError, or why the server has ended the connection for good
   */
  async untilUp(): Promise<void> {
    if (this.#up) return
    await new Promise<void>((resolve, reject) => {
      const stop = this.onStatus((status) => {
        if (status === 'reconnected') done(resolve)
      })
      const done = (settle: () => void) => {
        stop()
        settle()
      }
      void this.closed.then((error) => done(() => reject(error ?? new ClosedError())))
    })
  }

  /** Calls `listener` at every change. @returns ends that */
  onStatus(listener: (status: ConnectionStatus) => void): () => void {
    this.#statusListeners.add(listener)
    return () => this.#statusListeners.delete(listener)
  }

  /** Calls `listener` with what the server objects to, mostly permissions. @returns ends that */
  onError(listener: (error: Error) => void): () => void {
    this.#errorListeners.add(listener)
    return () => this.#errorListeners.delete(listener)
  }

  /**
   * The connection does not keep the program alive any more. While it is disconnected it does: attempts to reconnect
   * are timers of the client library.
   */
  unref(): void {
    this.#held = false
    this.#applyHold()
  }

  ref(): void {
    this.#held = true
    this.#applyHold()
  }

  /** Sends what is still to be sent, then ends it. */
  async close(): Promise<void> {
    if (this.nc.isClosed()) return
    if (this.#up) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => (timer = setTimeout(resolve, FLUSH_MS)))
      await Promise.race([this.nc.flush().catch(() => {}), late])
      clearTimeout(timer)
    }
    await this.nc.close()
    await this.closed
  }

  async #follow(): Promise<void> {
    for await (const event of this.nc.status()) {
      // Both the socket and the timer of pings are new after some of these events.
      if (!this.#held) this.#applyHold()
      if (event.type === 'error') for (const listener of this.#errorListeners) listener(event.error)
      if (event.type === 'disconnect' && this.#up) this.#changed(false, 'disconnected')
      if (event.type === 'reconnect') this.#changed(true, 'reconnected')
    }
  }

  #changed(up: boolean, status: ConnectionStatus): void {
    this.#up = up
    for (const listener of this.#statusListeners) listener(status)
  }

  /** The client library has no API for this; where its insides differ, the program is kept alive until close(). */
  #applyHold(): void {
    const insides = this.nc as unknown as {
      protocol?: { transport?: { socket?: Socket }; heartbeats?: { timer?: NodeJS.Timeout } }
    }
    const method = this.#held ? 'ref' : 'unref'
    insides.protocol?.transport?.socket?.[method]?.()
    insides.protocol?.heartbeats?.timer?.[method]?.()
  }
}

/**
 * Connects to one of the link's servers. Afterwards it reconnects for ever.
 * @throws ConnectError within `connectTimeoutMs`: nobody listens, wrong pin, credentials refused, server too old, no
 * JetStream. LinkError: the server belongs to another cluster.
 */
export async function openConnection(link: Link, options: OpenOptions): Promise<Connection> {
  if (!isIdentity(options.identity)) throw new OptionError(`"${options.identity}" is no identity`)
  const deadline = Date.now() + (options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS)
  const [first, servers] = await look(link, deadline)
  const { greeting } = first
  if (older(greeting.version, MINIMUM_SERVER)) {
    throw new ConnectError(
      'DICOMP_E_SERVER',
      `The server at ${servers[0]} is nats-server ${greeting.version}; dicomp needs ${MINIMUM_SERVER} or newer`,
      '`dicomp engine install` gets one that will do',
    )
  }
  checkCluster(link, greeting.server_name)
  const { connect, nkeyAuthenticator } = await import('@nats-io/transport-node')
  const attempt = (timeoutMs: number) =>
    connect({
      servers,
      noRandomize: true,
      name: `dicomp ${options.role} ${options.identity}`,
      timeout: Math.max(500, timeoutMs),
      inboxPrefix: inboxOf(options.identity),
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      pingInterval: PING_MS,
      maxPingOut: 2,
      noEcho: true,
      ...credentials(link, nkeyAuthenticator),
      ...(link.tls ? { tls: tlsOptions(link, first) } : {}),
    })
  let nc: NatsConnection
  try {
    nc = await attempt((deadline - Date.now()) / 2).catch(async (error) => {
      // A server that reads its configuration again refuses or forgets everybody who is in the middle of this.
      if (!isUnknownUser(error) && !isTimeout(error)) throw error
      await new Promise((resolve) => setTimeout(resolve, REFUSED_MS))
      return attempt(deadline - Date.now())
    })
  } catch (error) {
    throw explain(error, link)
  }
  if (options.role !== 'viewer') await needJetStream(nc, link, deadline)
  return new Connection(nc, link, options)
}

/** Probes all servers. @returns what the first that answered said, and all, those that answered first */
async function look(link: Link, deadline: number): Promise<[Probe, string[]]> {
  // Half of the time: then those that answered are connected to.
  const timeoutMs = Math.max(200, (deadline - Date.now()) / 2)
  const results = await Promise.allSettled(
    link.servers.map((server) => probe(server, { tls: link.tls, pin: link.pin, timeoutMs })),
  )
  const good = results.flatMap((result, i) =>
    result.status === 'fulfilled' ? [{ server: link.servers[i] ?? '', probe: result.value }] : [],
  )
  const start = Math.floor(Math.random() * good.length)
  const chosen = good[start]
  if (chosen === undefined) throw worst(results.flatMap((r) => (r.status === 'rejected' ? [r.reason] : [])))
  const answered = [...good.slice(start), ...good.slice(0, start)].map((each) => each.server)
  return [chosen.probe, [...answered, ...link.servers.filter((server) => !answered.includes(server))]]
}

/** Of several servers that cannot be used, the reason that tells most. */
function worst(errors: Error[]): Error {
  const pin = errors.find((error) => error instanceof ConnectError && error.code === 'DICOMP_E_PIN')
  if (pin || errors.length === 1) return pin ?? (errors[0] as Error)
  const reasons = errors.map((error) => error.message.split('\n')[0])
  return new ConnectError(
    'DICOMP_E_CONNECT',
    `None of the servers in the link can be used:\n    ${reasons.join('\n    ')}`,
    'start one of them, or check the addresses in the link, the network and the firewall',
    new AggregateError(errors),
  )
}

function credentials(
  link: Link,
  nkeyAuthenticator: (seed: Uint8Array) => ConnectionOptions['authenticator'],
): ConnectionOptions {
  if (link.seed !== undefined) {
    const authenticator = nkeyAuthenticator(new TextEncoder().encode(link.seed))
    return authenticator === undefined ? {} : { authenticator }
  }
  if (link.token !== undefined) return { token: link.token }
  if (link.user !== undefined) return { user: link.user, pass: link.password ?? '' }
  return {}
}

/** The library hands all of them to `tls.connect()`, though it declares only a few. */
function tlsOptions(
  link: Link,
  { certificate, handshakeFirst }: Probe,
): NonNullable<ConnectionOptions['tls']> {
  if (link.pin === undefined || certificate === undefined) return { handshakeFirst }
  const pinned = { checkServerIdentity: () => undefined, allowPartialTrustChain: true }
  return { handshakeFirst, ca: certificate, ...pinned }
}

/** Servers that `dicomp up` starts are named after their cluster: `dicomp-<cluster>`. */
function checkCluster(link: Link, serverName: string | undefined): void {
  const found = /^dicomp-([\w-]+)$/.exec(serverName ?? '')?.[1]
  if (link.cluster === undefined || found === undefined || found === link.cluster) return
  throw new LinkError(
    `The link is for the cluster ${link.cluster}, but ${describeLink(link)} is the cluster ${found}`,
    'use the link that belongs to it',
  )
}

async function needJetStream(nc: NatsConnection, link: Link, deadline: number): Promise<void> {
  let why = 'it does not answer'
  for (;;) {
    try {
      const reply = await nc.request('$JS.API.INFO', '', { timeout: Math.max(300, deadline - Date.now()) })
      const { error } = reply.json<{ error?: { err_code?: number; description?: string } }>()
      if (error === undefined) return
      why = error.description ?? 'it answers with an error'
    } catch (error) {
      if (isDenied(error)) {
        await nc.close()
        throw explain(error, link)
      }
      why = (error as Error).message
    }
    // A server that has just started, or a cluster without a leader yet, needs a moment.
    if (nc.info?.jetstream !== true || Date.now() + 100 > deadline) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await nc.close()
  throw new ConnectError(
    'DICOMP_E_SERVER',
    `The nats-server at ${describeLink(link)} has no JetStream for us (${why})`,
    'start it with `-js` (or use `dicomp up`, which does)',
  )
}

/** Errors of the client library in our words. */
function explain(error: unknown, link: Link): Error {
  const { message } = error instanceof Error ? error : new Error(String(error))
  const who = link.name ?? link.user
  if (isUnknownUser(error)) {
    return new ConnectError(
      'DICOMP_E_ACCESS',
      `The server at ${describeLink(link)} refuses the credentials${who ? ` of "${who}"` : ''}: they are wrong, ` +
        'revoked or missing',
      'get a new link: `dicomp token new` where the cluster was started',
      error,
    )
  }
  if (isDenied(error)) {
    return new ConnectError(
      'DICOMP_E_ACCESS',
      `The server at ${describeLink(link)} does not allow this${who ? ` to "${who}"` : ''}: ${message}`,
      'use a link of the right role: `dicomp token new --role client|node`',
      error,
    )
  }
  return new ConnectError(
    'DICOMP_E_CONNECT',
    `Cannot connect to the server at ${describeLink(link)}: ${message}`,
    'check that it runs, and the network in between',
    error,
  )
}

/** Whether a version is before another. What is no version is; pre-releases count as the release. */
function older(version: string, than: string): boolean {
  if (!/^\d+\.\d+\.\d+/.test(version)) return true
  const [a, b] = [version, than].map((text) => text.split(/[.-]/, 3).map(Number))
  for (let i = 0; i < 3; i++) {
    const difference = (a?.[i] ?? 0) - (b?.[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
