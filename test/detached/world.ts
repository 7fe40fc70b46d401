/** A server, a node and drivers for a test file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll } from 'vitest'
import type { Cluster } from '../../src/api/cluster.ts'
import { connect } from '../../src/api/connect.ts'
import { Driver, type DriverEvent, type DriverOptions } from '../../src/detached/driver.ts'
import { type DetachedState, isOver } from '../../src/detached/record.ts'
import type { Store } from '../../src/detached/store.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { streamOfKind } from '../../src/nats/detached.ts'
import { parseLink } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { Agent, type AgentOptions } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'

export class World {
  nats!: Nats
  cluster!: Cluster
  store!: Store
  readonly events: DriverEvent[] = []
  readonly dir = mkdtempSync(join(tmpdir(), 'dicomp-detached-'))
  readonly ends: (() => unknown)[] = []
  #files = 0

  async node(options: AgentOptions = {}): Promise<Agent> {
    const agent = await Agent.start(this.nats.url, { slots: 2, ...options })
    this.ends.push(() => agent.stop())
    return agent
  }

  async driver(options: DriverOptions = {}): Promise<Driver> {
    const onEvent = (event: DriverEvent) => this.events.push(event)
    const driver = await Driver.start(this.nats.url, { onEvent, ...options })
    this.ends.push(() => driver.stop())
    return driver
  }

  async client(): Promise<Cluster> {
    const cluster = await connect(this.nats.url)
    this.ends.push(() => cluster.close())
    return cluster
  }

  async connection(): Promise<Connection> {
    const connection = await openConnection(parseLink(this.nats.url), {
      role: 'client',
      identity: newIdentity('test'),
    })
    this.ends.push(() => connection.close())
    return connection
  }

  newFile(): string {
    return join(this.dir, `go-${this.#files++}`)
  }

  /** For tasks that wait for this file. */
  allow(file: string): void {
    writeFileSync(file, '')
  }

  /** Messages in each of the streams of detached jobs. */
  async messages(): Promise<Record<string, number>> {
    const connection = await this.connection()
    const counts: Record<string, number> = {}
    for (const kind of ['J', 'R', 'L', 'Q'] as const) {
      const reply = await connection.nc.request(`$JS.API.STREAM.INFO.${streamOfKind(kind, 'main')}`)
      counts[kind] = reply.json<{ state: { messages: number } }>().state.messages
    }
    return counts
  }
}

/** Waits for a condition; the test's own timeout is the limit. */
export async function until(condition: () => unknown): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
}

export const over = (state: DetachedState): boolean => isOver(state)

export function setUp(): World {
  const world = new World()
  beforeAll(async () => {
    process.env.DICOMP_CACHE_DIR = join(world.dir, 'cache')
    world.nats = await startNats()
  })
  afterEach(async () => {
    for (const end of world.ends.splice(0).reverse()) await end()
    world.events.length = 0
  })
  afterAll(async () => {
    await world.nats.stop()
    delete process.env.DICOMP_CACHE_DIR
    rmSync(world.dir, { recursive: true, force: true })
  })
  return world
}
