/** A cluster as `dicomp up` makes it, without its command line and its node. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as dialTls, type TLSSocket } from 'node:tls'
import { connect, type NatsConnection, nkeyAuthenticator, type Status } from '@nats-io/transport-node'
import { afterAll } from 'vitest'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { layOut } from '../../src/nats/layout.ts'
import { type Link, parseLink, type Role } from '../../src/nats/link.ts'
import { hostPort } from '../../src/nats/probe.ts'
import { inboxOf, newIdentity } from '../../src/nats/subjects.ts'
import { createToken, openCluster, type Wanted } from '../../src/server/cluster.ts'
import { type RunningServer, startServer } from '../../src/server/process.ts'
import type { ClusterState } from '../../src/server/state.ts'
import { linkTo } from '../../src/server/tokens.ts'
import { freePort } from '../helpers/nats-server.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A folder that is gone after the tests of the file. */
export async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'dicomp-server-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }))
  return dir
}

export interface TestCluster {
  dir: string
  state: ClusterState
  server: RunningServer
  /** Of a new token. */
  link(name: string, role: Role, expires?: number): Promise<Link>
}

export const MEGABYTE = 1 << 20

export async function wanted(): Promise<Wanted> {
  return {
    host: '127.0.0.1',
    port: await freePort(),
    advertise: '127.0.0.1',
    pool: 'main',
    memoryLimit: 64 * MEGABYTE,
    diskLimit: 100 * MEGABYTE,
  }
}

export async function startCluster(): Promise<TestCluster> {
  const dir = await folder()
  const state = await openCluster(dir, await wanted())
  const server = await startServer(dir)
  cleanups.push(() => server.stop())
  const own = await open(linkTo(state, state.own.node, state.own.node.seed, '127.0.0.1'), 'node')
  await layOut(own, { maxBytes: 32 * MEGABYTE })
  return {
    dir,
    state,
    server,
    async link(name, role, expires) {
      const { link } = await createToken(dir, { name, role, ...(expires !== undefined && { expires }) })
      return parseLink(link, 0)
    },
  }
}

/** As our own programs connect. Closed after the tests of the file. */
export async function open(link: Link, role: Role = link.role ?? 'client'): Promise<Connection> {
  const connection = await openConnection(link, { role, identity: newIdentity(link.name) })
  cleanups.push(() => connection.close())
  return connection
}

/** As anybody with the credentials can, and with no more than that: `raw.nc` speaks plain NATS. */
export class Raw {
  readonly nc: NatsConnection
  readonly #errors: string[] = []

  static async connect(link: Link, options: { credentials?: boolean; id?: string } = {}): Promise<Raw> {
    const { credentials = true, id = 'x' } = options
    const seed = new TextEncoder().encode(link.seed)
    const nc = await connect({
      servers: link.servers,
      // It would refuse to connect with a certificate that it cannot check; what counts here is the server.
      tls: { handshakeFirst: true, rejectUnauthorized: false } as object,
      ...(credentials ? { authenticator: nkeyAuthenticator(seed) } : {}),
      inboxPrefix: inboxOf(`${link.name}.${id}`),
      reconnect: false,
    })
    const raw = new Raw(nc)
    cleanups.push(() => nc.close())
    return raw
  }

  private constructor(nc: NatsConnection) {
    this.nc = nc
    void this.#follow()
  }

  async #follow(): Promise<void> {
    for await (const event of this.nc.status() as AsyncIterable<Status>) {
      if (event.type === 'error') this.#errors.push(event.error.message)
    }
  }

  /** What the server objects to in `action`. */
  async objections(action: () => void): Promise<string[]> {
    this.#errors.length = 0
    action()
    // The server answers in order, the library tells a little later.
    await this.nc.flush()
    await new Promise((resolve) => setImmediate(resolve))
    return [...this.#errors]
  }

  publishing(subject: string, data: string | Uint8Array = '', reply?: string): Promise<string[]> {
    return this.objections(() => this.nc.publish(subject, data, reply === undefined ? {} : { reply }))
  }

  subscribing(subject: string): Promise<string[]> {
    return this.objections(() => void this.nc.subscribe(subject, { callback: () => {} }))
  }
}

/** The protocol itself, line by line. */
export async function speak(link: Link, lines: string[]): Promise<string> {
  const { host, port } = hostPort(link.servers[0] ?? '')
  const socket: TLSSocket = dialTls({ host, port, rejectUnauthorized: false })
  let heard = ''
  socket.on('data', (data) => (heard += data))
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(lines.map((line) => `${line}\r\n`).join(''))
  await closed
  return heard
}
