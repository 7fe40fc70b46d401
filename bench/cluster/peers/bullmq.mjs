// docs.bullmq.io, "The gist": a queue, workers, and QueueEvents for what has completed. Jobs are removed when they
// are done, since the default keeps all of them for ever; `addBulk` for many. A worker process per slot, concurrency
// 1, no sandbox. redis-server saves nothing to disk.
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Queue, QueueEvents } from 'bullmq'

/** Jobs per `addBulk`: one message to redis-server holds them. */
const BULK = 10_000

export async function open({ nodes, slots }) {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'bullmq-'))
  spawn(
    process.env.BENCH_REDIS ?? 'redis-server',
    ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', dir],
    { stdio: 'ignore' },
  )
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  // One node is as many processes as it has slots; several nodes are one process each.
  const [processes, concurrency] = nodes === 1 ? [slots, 1] : [nodes, slots]
  const workers = Array.from({ length: processes }, () =>
    fork(fileURLToPath(new URL('bullmq.worker.mjs', import.meta.url)), [String(port), String(concurrency)]),
  )
  const queue = new Queue('bench', { connection })
  const events = new QueueEvents('bench', { connection })
  queue.on('error', () => {})
  events.on('error', () => {})
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), ...workers.map(ready)])

  const waiting = new Map()
  const early = new Map()
  const settle = (jobId, outcome) => {
    const settler = waiting.get(jobId)
    // The event may be here before the answer to `add` which says the id.
    if (!settler) return early.set(jobId, outcome)
    waiting.delete(jobId)
    settler(outcome)
  }
  events.on('completed', ({ jobId, returnvalue }) => settle(jobId, { value: returnvalue }))
  events.on('failed', ({ jobId, failedReason }) => settle(jobId, { error: failedReason }))
  const result = (jobId) =>
    new Promise((resolve, reject) => {
      const done = ({ value, error }) => (error === undefined ? resolve(value) : reject(new Error(error)))
      const outcome = early.get(jobId)
      if (!outcome) return waiting.set(jobId, done)
      early.delete(jobId)
      done(outcome)
    })

  const options = { removeOnComplete: true, removeOnFail: true }
  const add = async (op, args) => {
    const promises = []
    for (let at = 0; at < args.length; at += BULK) {
      const part = args.slice(at, at + BULK)
      const jobs = await queue.addBulk(part.map((arg) => ({ name: op, data: { arg }, opts: options })))
      for (const { id } of jobs) promises.push(result(id))
    }
    return promises
  }
  const burst = async (op, args) => Promise.all(await add(op, args))

  return {
    call: async (op, arg) => result((await queue.add(op, { arg }, options)).id),
    burst,
    queue: add,
    /** JSON carries no bytes. */
    everywhere: (op, data, slots) =>
      burst(op, new Array(slots).fill({ base64: Buffer.from(data.buffer).toString('base64') })),
    async squares(inputs, parts) {
      const size = Math.ceil(inputs.length / parts)
      const cut = Array.from({ length: parts }, (_, i) => inputs.slice(i * size, (i + 1) * size))
      return { results: (await burst('squareAll', cut)).flat(), how: `${parts} parts cut by hand` }
    },
    nodes: () => workers.map(({ pid }) => pid),
  }
}

const ready = (child) => once(child, 'message')

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
