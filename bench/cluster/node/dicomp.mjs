// dicomp as docs/cli.md has it: `dicomp up` (nats-server with TLS and credentials), `dicomp join` for each node, and
// `connect(link)`. `dicomp+plain`: the nodes and the program use a bare nats-server, without TLS and credentials.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connect } from 'dicomp'
import { tasks } from './tasks.mjs'

const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url))

export async function open({ nodes, slots, variant }) {
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-'))
  const links = variant === 'plain' ? await startServer(dir) : await up(dir)
  const agents = await Promise.all(
    Array.from({ length: nodes }, (_, i) => {
      // Never in an argument: those are for everybody to see.
      writeFileSync(join(dir, 'join'), links.join, { mode: 0o600 })
      const args = [
        'join',
        `@${join(dir, 'join')}`,
        '--slots',
        String(slots),
        '--name',
        `node-${i}`,
        '--json',
      ]
      return cli([...args, '--cache', join(dir, `cache-${i}`)], 'joined')
    }),
  )
  /** Another program, as far as the cluster can tell. */
  const client = async () => {
    const cluster = await connect(links.client)
    return Object.fromEntries(Object.entries(tasks).map(([name, fn]) => [name, cluster.distribute(fn)]))
  }
  const ops = await client()
  const burst = (op, args) => {
    const f = ops[op]
    return Promise.all(args.map((arg) => f(arg)))
  }
  return {
    ops,
    client,
    call: (op, arg) => ops[op](arg),
    burst,
    map: (op, inputs) => ops[op].map(inputs),
    queue: (op, inputs) => inputs.map((input) => ops[op](input)),
    everywhere: (op, data, slots) => burst(op, new Array(slots).fill(data)),
    squares: async (inputs) => ({ results: await ops.square.map(inputs), how: 'map' }),
    nodes: () => agents.map(({ child }) => child.pid),
  }
}

async function up(dir) {
  const args = ['up', '--no-node', '--data', join(dir, 'data'), '--port', String(await freePort()), '--json']
  return (await cli(args, 'up')).event
}

async function startServer(dir) {
  const port = await freePort()
  const server = process.env.DICOMP_NATS_SERVER ?? 'nats-server'
  const args = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', join(dir, 'data')]
  const child = spawn(server, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  await lineWith(child.stderr, 'Server is ready')
  child.stderr.resume()
  const link = `nats://127.0.0.1:${port}`
  return { join: link, client: link }
}

/** Starts a command that reports with JSON lines; resolves at the event. */
async function cli(args, wanted) {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const line = await lineWith(child.stdout, `"event":"${wanted}"`)
  child.stdout.resume()
  return { child, event: JSON.parse(line) }
}

async function lineWith(stream, text) {
  for await (const line of createInterface({ input: stream })) if (line.includes(text)) return line
  throw new Error(`It ended before it said ${text}`)
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
