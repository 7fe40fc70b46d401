/** A cluster of real processes: servers, nodes, clients, each behind a proxy of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, createWriteStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type Nats, startNats } from '../helpers/nats-server.ts'
import { Observer } from './observer.ts'
import type { Plan, Who } from './plan.ts'
import { FaultProxy } from './proxy.ts'
import { Random } from './random.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Patience with what may take long on a busy machine; nothing waits this long when all is well. */
const START_MS = 60_000

export interface NodeProcess {
  slots: number
  proxy: FaultProxy | undefined
  child: ChildProcess
  /** Started, one after the other; for their names. */
  starts: number
}

export interface DriverProcess {
  child: ChildProcess
  starts: number
}

export class World {
  /** Everything of the run: history, notes, logs, the folders of the nodes. */
  readonly folder: string
  readonly servers: Nats[]
  readonly nodes: NodeProcess[] = []
  readonly drivers: DriverProcess[] = []
  observer!: Observer
  clientProxy: FaultProxy | undefined
  readonly #random: Random
  readonly #children = new Set<ChildProcess>()

  static async start(plan: Plan): Promise<World> {
    const folder = mkdtempSync(join(tmpdir(), `dicomp-chaos-${plan.seed}-`))
    const servers = plan.servers === 1 ? [await startNats()] : await startCluster(plan.servers)
    const world = new World(folder, servers, plan)
    try {
      await world.#begin(plan)
      return world
    } catch (error) {
      await world.stop(true)
      throw new Error(`The cluster did not start, see ${folder}`, { cause: error })
    }
  }

  private constructor(folder: string, servers: Nats[], plan: Plan) {
    this.folder = folder
    this.servers = servers
    this.#random = new Random(plan.seed ^ 0x5eed)
    mkdirSync(join(folder, 'notes'))
  }

  async #begin(plan: Plan): Promise<void> {
    // Servers of a cluster take some seconds until they have elected one of them.
    await until(async () => {
      const opened = await Observer.open(this.#link()).catch(() => undefined)
      if (opened) this.observer = opened
      return opened !== undefined
    }, START_MS)
    // Servers of a cluster are reached as they are: which one a process is connected to is part of what is tested.
    const proxied = async () =>
      this.servers.length === 1 ? await FaultProxy.start(this.servers[0]?.port ?? 0, this.#random) : undefined
    this.clientProxy = await proxied()
    for (const slots of plan.nodes) {
      const proxy = await proxied()
      const node = { slots, proxy, starts: 0 } as NodeProcess
      this.nodes.push(node)
      this.startNode(node)
    }
    for (let number = 0; number < plan.drivers; number++) {
      const driver = { starts: 0 } as DriverProcess
      this.drivers.push(driver)
      this.startDriver(driver)
    }
    const slots = plan.nodes.reduce((sum, count) => sum + count, 0)
    await until(() => this.observer.nodes(3000).reduce((sum, node) => sum + node.slots, 0) >= slots, START_MS)
  }

  startNode(node: NodeProcess): void {
    const number = this.nodes.indexOf(node)
    const name = `n${number}-${node.starts++}`
    node.child = this.#spawn('node.ts', name, [this.#link(node.proxy), name, String(node.slots)])
  }

  startDriver(driver: DriverProcess): void {
    const name = `d${this.drivers.indexOf(driver)}-${driver.starts++}`
    driver.child = this.#spawn('driver.ts', name, [this.#link()])
  }

  /** @param plan file with its jobs @param folder where it writes its history */
  startClient(plan: string, name: string): ChildProcess {
    return this.#spawn('client.ts', name, [
      this.#link(this.clientProxy),
      this.folder,
      plan,
      `history-${name}`,
    ])
  }

  proxyOf(who: Who): FaultProxy | undefined {
    return who === 'client' ? this.clientProxy : this.nodes[who]?.proxy
  }

  /** One line for whoever reads the story of a run. */
  log(text: string): void {
    appendFileSync(join(this.folder, 'story'), `${Date.now()} ${text}\n`)
  }

  /** Temporary folder of the process of this name. */
  tmpOf(name: string): string {
    return join(this.folder, `tmp-${name}`)
  }

  /** Tells nodes and drivers to leave. @returns those that did not */
  async dismiss(ms: number): Promise<string[]> {
    const late: string[] = []
    const dismiss = async ({ child }: { child: ChildProcess }, name: string) => {
      if (hasEnded(child)) return
      child.kill('SIGTERM')
      try {
        await until(() => hasEnded(child), ms)
        if (child.exitCode !== 0) late.push(`${name} (exit ${child.exitCode ?? child.signalCode})`)
      } catch {
        late.push(`${name} (still there)`)
        // Writes what keeps it into the folder of the run.
        child.kill('SIGUSR2')
        await new Promise((resolve) => setTimeout(resolve, 1000))
      }
    }
    await Promise.all(this.drivers.map((driver, number) => dismiss(driver, `driver ${number}`)))
    await Promise.all(this.nodes.map((node, number) => dismiss(node, `node ${number}`)))
    return late
  }

  async stopServers(): Promise<void> {
    await this.observer?.close()
    await Promise.all(this.servers.map((server) => server.stop()))
  }

  /** Ends all that is left, and the folder unless it is still of interest. */
  async stop(keep = false): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
    }
    for (const { proxy } of this.nodes) proxy?.close()
    this.clientProxy?.close()
    await this.stopServers()
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  #spawn(program: string, name: string, args: string[]): ChildProcess {
    const tmp = this.tmpOf(name)
    mkdirSync(tmp)
    const report = ['--report-on-signal', `--report-directory=${this.folder}`]
    const child = spawn(process.execPath, [...report, '--import', 'tsx', join(HERE, program), ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        TMPDIR: tmp,
        DICOMP_CACHE_DIR: join(this.folder, `cache-${name.split('-')[0]}`),
      },
    })
    const log = createWriteStream(join(this.folder, `log-${name}`))
    child.stdout?.pipe(log)
    child.stderr?.pipe(log)
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  #link(proxy?: FaultProxy): string {
    if (proxy) return `nats://127.0.0.1:${proxy.port}`
    return `nats://${this.servers.map((server) => `127.0.0.1:${server.port}`).join(',')}`
  }
}

async function startCluster(count: number): Promise<Nats[]> {
  const routes: number[] = []
  for (let i = 0; i < count; i++) routes.push(await freePort())
  return Promise.all(
    routes.map((port, i) =>
      startNats({
        config: [
          `server_name: s${i}`,
          `cluster { name: chaos, host: 127.0.0.1, port: ${port}, no_advertise: true,`,
          `routes: [${routes.map((route) => `"nats://127.0.0.1:${route}"`).join(', ')}] }`,
        ].join('\n'),
      }),
    ),
  )
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** @throws Error after `ms` */
export async function until(condition: () => boolean | Promise<boolean>, ms: number): Promise<void> {
  for (const end = performance.now() + ms; !(await condition()); ) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
