/**
 * How one server carries a large cluster: a thousand simulated nodes (connections that speak the protocol and have no
 * slots, see scale/agents.ts) in a few processes, and a million tasks of a real client through a real nats-server with
 * TLS and credentials. Prints tables; `--json FILE` has the numbers. docs/scaling.md is made of them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ownMs } from '../driver/cpu.ts'
import { describeMachine } from '../driver/machine.ts'

const HELP = `npm run bench:scale -- [options]

  --nodes N      simulated nodes (default 1000)
  --tasks N      tasks of the large job (default 1000000)
  --processes N  processes that share the nodes (default 4)
  --task-ms N    each task takes so long (default 0)
  --json FILE    the numbers, as JSON
`

const { values: options } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000' },
    tasks: { type: 'string', default: '1000000' },
    processes: { type: 'string', default: '4' },
    'task-ms': { type: 'string', default: '0' },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

const IDLE_MS = 10_000
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** A process that answers each line with a line. */
class Talker {
  readonly child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(args: string[], dir: string) {
    this.child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: dir },
    })
    if (!this.child.stdout) throw new Error('no pipe')
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('A process of the test ended early')
    return value
  }

  say(request: object): void {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`)
  }

  async ask(request: object): Promise<Record<string, number>> {
    this.say(request)
    return JSON.parse(await this.line())
  }
}

const cpu = (pids: number[]): number =>
  pids.reduce((ms, pid) => ms + ownMs(readFileSync(`/proc/${pid}/stat`, 'utf8')), 0)

/** What happens now: at the limit of a machine, each step takes its time. */
const say = (text: string) => process.stderr.write(`${new Date().toTimeString().slice(0, 8)} ${text}\n`)

const sum = (numbers: number[]): number => numbers.reduce((a, b) => a + b, 0)

/** MB; `VmRSS` now, `VmHWM` the most that it ever was. */
const memory = (pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

if (options.help) process.stdout.write(HELP)
else if (!existsSync('/proc/self/stat')) process.stderr.write('The scale test reads /proc: Linux only\n')
else await main()

async function main(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'scale-'))
  const started: Talker[] = []
  const start = (args: string[]) => {
    const talker = new Talker(args, dir)
    started.push(talker)
    return talker
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      for (const { child } of started) child.kill('SIGTERM')
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  try {
    const result = await measure(dir, start)
    print(result)
    if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`)
  } finally {
    // `up`, the first, stops its server.
    for (const { child } of started.slice(1)) child.kill('SIGKILL')
    const [up] = started
    if (up && up.child.exitCode === null) {
      up.child.kill('SIGTERM')
      await new Promise((resolve) => up.child.once('exit', resolve))
    }
    rmSync(dir, { recursive: true, force: true })
  }
}

type Result = Awaited<ReturnType<typeof measure>>

async function measure(dir: string, start: (args: string[]) => Talker) {
  const count = Number(options.nodes)
  const tasks = Number(options.tasks)
  const processes = Number(options.processes)
  const cli = here('../../dist/cli.js')

  const up = start([
    cli,
    'up',
    '--no-node',
    '--data',
    join(dir, 'data'),
    '--port',
    await freePort(),
    '--json',
  ])
  const event = JSON.parse(await up.line())
  const server: number = event.server.pid
  for (const role of ['join', 'client']) writeFileSync(join(dir, role), event[role], { mode: 0o600 })
  const empty = memory(server)

  const from = performance.now()
  const agents = Array.from({ length: processes }, (_, i) => {
    const share = Math.floor(count / processes) + (i < count % processes ? 1 : 0)
    return start([
      '--import',
      'tsx',
      here('scale/agents.ts'),
      join(dir, 'join'),
      String(share),
      '2',
      options['task-ms'],
    ])
  })
  await Promise.all(agents.map((agent) => agent.line()))
  say(`${count} nodes have joined`)
  const joined = (performance.now() - from) / 1000
  const clients = [0, 1].map(() => start([here('scale/client.mjs'), join(dir, 'client')]))
  await Promise.all(clients.map((client) => client.line()))
  const [worker, other] = clients as [Talker, Talker]
  const watched = { server: [server], nodes: agents.map(({ pid }) => pid), client: [worker.pid] }
  const usage = () => ({
    at: performance.now(),
    server: cpu(watched.server),
    nodes: cpu(watched.nodes),
    client: cpu(watched.client),
  })
  const between = (a: ReturnType<typeof usage>, b: ReturnType<typeof usage>) => ({
    seconds: (b.at - a.at) / 1000,
    server: (b.server - a.server) / 1000,
    nodes: (b.nodes - a.nodes) / 1000,
    client: (b.client - a.client) / 1000,
  })

  await sleep(3000)
  const { slots } = await worker.ask({ do: 'slots' })
  const idleFrom = usage()
  await sleep(IDLE_MS)
  const idle = between(idleFrom, usage())
  const idleMemory = { empty, server: memory(server), client: memory(worker.pid) }

  say(
    `idle: server ${idle.server} s, nodes ${idle.nodes} s, client ${idle.client} s of CPU in ${idle.seconds} s`,
  )
  await worker.ask({ do: 'latency', calls: 50 })
  say('first calls are done')
  const latencyFrom = usage()
  const latency = await worker.ask({ do: 'latency', calls: 500 })
  say(`latency: ${JSON.stringify({ ...latency, ...between(latencyFrom, usage()) })}`)
  const firstFrom = usage()
  await worker.ask({ do: 'map', count: Math.round(tasks / 10) })

  say(`first map is done: ${JSON.stringify(between(firstFrom, usage()))}`)

  const counts = async () => {
    const all = await Promise.all(agents.map(async (agent) => Object.values(await agent.ask({}))))
    return all.flat() as unknown as { chunks: number; tasks: number; again: number; messages: number }[]
  }
  const before = await counts()
  say(
    `nodes so far: ${JSON.stringify(before.reduce((a, b) => ({ chunks: a.chunks + b.chunks, tasks: a.tasks + b.tasks, again: a.again + b.again, messages: a.messages + b.messages })))}`,
  )
  const mapFrom = usage()
  const { seconds = Number.NaN } = await worker.ask({ do: 'map', count: tasks })
  const map = between(mapFrom, usage())
  const after = await counts()
  const perNode = after.map(({ tasks }, i) => tasks - (before[i]?.tasks ?? 0)).sort((a, b) => a - b)
  const total = (key: 'chunks' | 'again' | 'messages') =>
    sum(after.map((node) => node[key])) - sum(before.map((node) => node[key]))
  const chunks = total('chunks')
  say(`large map is done: ${JSON.stringify({ ...map, chunks })}`)
  const callsFrom = usage()
  await worker.ask({ do: 'calls', count: 100_000 })
  const calls = between(callsFrom, usage())

  say('calls are done')
  // Somebody else's calls while the million is on its way.
  other.say({ do: 'latency' })
  await sleep(1000)
  await worker.ask({ do: 'map', count: tasks })
  other.say({ do: 'nothing' })
  const busy = JSON.parse(await other.line()) as Record<string, number>

  return {
    machine: describeMachine([]),
    server: event.server.version as string,
    nodes: count,
    tasks,
    slots,
    joined,
    idle,
    idleMemory,
    latency,
    map: {
      ...map,
      seconds,
      chunks,
      again: total('again'),
      messages: total('messages'),
      perNode: [perNode[0], perNode[perNode.length >> 1], perNode.at(-1)],
    },
    calls,
    busy,
    peak: { server: memory(server, 'VmHWM'), client: memory(worker.pid, 'VmHWM') },
  }
}

function print(r: Result): void {
  const n = (value: number, digits = 1) =>
    value.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: 0 })
  const ms = (micros = 0) => n(micros / 1000, 2)
  const percent = (seconds: number, of: number) => `${n((seconds / of) * 100)} %`
  const { idle, map, calls } = r
  const rows: [string, string][] = [
    ['machine', `${r.machine.cpu}, ${r.machine.cores} cores, nats-server ${r.server}, ${r.machine.commit}`],
    ['nodes', `${n(r.nodes)}, ${n(r.slots ?? 0)} slots; all had joined after ${n(r.joined)} s`],
    [
      'server memory',
      `${n(r.idleMemory.empty)} MB empty, ${n(r.idleMemory.server)} MB with all nodes, ${n(r.peak.server)} MB at most`,
    ],
    ['client memory', `${n(r.idleMemory.client)} MB idle, ${n(r.peak.client)} MB at most`],
    [
      'idle, of one core',
      `server ${percent(idle.server, idle.seconds)}, all nodes ${percent(idle.nodes, idle.seconds)}, client ${percent(idle.client, idle.seconds)}`,
    ],
    ['one call', `p50 ${ms(r.latency.p50)} ms, p99 ${ms(r.latency.p99)} ms`],
    [
      `map of ${n(r.tasks)}`,
      `${n(map.seconds, 2)} s: ${n(r.tasks / map.seconds, 0)} tasks/s in ${n(map.chunks)} chunks (${n(map.chunks / map.seconds, 0)}/s), ${n(map.again)} results sent again, ${n(map.messages / map.chunks)} messages of nodes per chunk`,
    ],
    ['  CPU seconds', `server ${n(map.server, 2)}, nodes ${n(map.nodes, 2)}, client ${n(map.client, 2)}`],
    ['  tasks per node', `${map.perNode.map((x) => n(x ?? 0)).join(' / ')} (least / median / most)`],
    ['100,000 calls', `${n(calls.seconds, 2)} s: ${n(100_000 / calls.seconds, 0)}/s`],
    [
      "another client's call meanwhile",
      `p50 ${ms(r.busy.p50)} ms, p99 ${ms(r.busy.p99)} ms, at most ${ms(r.busy.max)} ms (${n(r.busy.calls ?? 0)} calls)`,
    ],
  ]
  for (const [what, value] of rows) process.stdout.write(`${what.padEnd(32)}${value}\n`)
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  server.close()
  return String(typeof address === 'object' && address ? address.port : 0)
}
