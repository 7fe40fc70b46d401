/** One server and one cache for a test file; a client and its nodes for each test. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { Agent, type AgentEvent, type AgentOptions } from '../../src/node/agent.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { FakeClient } from './client.ts'

export class Setup {
  /** Of the running test. */
  client!: FakeClient
  readonly agents: Agent[] = []
  readonly events: AgentEvent[] = []
  nats!: Nats
  readonly dir = mkdtempSync(join(tmpdir(), 'dicomp-node-'))
  #files = 0

  async join(options: AgentOptions = {}): Promise<Agent> {
    const onEvent = (event: AgentEvent): number => this.events.push(event)
    const agent = await Agent.start(this.nats.url, { slots: 2, onEvent, ...options })
    this.agents.push(agent)
    return agent
  }

  eventTypes(): string[] {
    return this.events.map(({ type }) => type)
  }

  /** For the function WAITS: it ends when `allow` was called with the same name. */
  newFile(): string {
    return join(this.dir, `go-${this.#files++}`)
  }

  allow(file: string): void {
    writeFileSync(file, '')
  }
}

/** Body of a function that leaves a mark beside the file that it is given, and ends when that file is there. */
export const WAITS = `
  const { existsSync, appendFileSync } = process.getBuiltinModule('node:fs')
  appendFileSync(arg + '.begun', process.pid + '\\n')
  while (!existsSync(arg)) await new Promise((resolve) => setTimeout(resolve, 10))
  return 'done'`

export function setUp(): Setup {
  const setup = new Setup()
  beforeAll(async () => {
    process.env.DICOMP_CACHE_DIR = join(setup.dir, 'cache')
    setup.nats = await startNats()
  })
  afterAll(async () => {
    await setup.nats.stop()
    delete process.env.DICOMP_CACHE_DIR
    rmSync(setup.dir, { recursive: true, force: true })
  })
  beforeEach(async () => {
    setup.events.length = 0
    setup.client = await FakeClient.open(setup.nats.url)
    setup.client.live()
  })
  afterEach(async () => {
    await Promise.all(setup.agents.splice(0).map((agent) => agent.stop()))
    // What a test has left behind is not for the nodes of the next one. What is asked while the server is away is lost.
    await setup.client.connection.untilUp()
    await setup.client.connection.nc.request('$JS.API.STREAM.PURGE.T_main')
    await setup.client.close()
  })
  return setup
}
