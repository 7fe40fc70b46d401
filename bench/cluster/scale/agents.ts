/**
 * Simulated nodes: they say and do what node/agent.ts does on the wire, over a connection each, but have no slots. A
 * task "runs" by sending its argument back, after `taskMs`.
 *
 *   node --import tsx agents.ts <file with the link> <number of nodes> <slots each> <taskMs>
 *
 * Prints `ready`, and what it has done, as JSON, for each line of input.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Connection, openConnection } from '../../../src/nats/connection.ts'
import { layOut } from '../../../src/nats/layout.ts'
import { type Link, parseLink } from '../../../src/nats/link.ts'
import { readMessage, type TaskMessage, writeMessage } from '../../../src/nats/messages.ts'
import { HEARTBEAT_MS, PROTOCOL, RENEW_MS, RESEND_MS } from '../../../src/nats/settings.ts'
import { ANY, newIdentity, subjects } from '../../../src/nats/subjects.ts'
import { hostFacts } from '../../../src/node/host.ts'
import { Puller } from '../../../src/node/puller.ts'

const [file = '', count = '1', slots = '2', taskMs = '0'] = process.argv.slice(2)

/** Connections that are being opened at the same time, and how long one may take where the machine has too much to do. */
const OPENING = 5
const CONNECT_MS = 30_000
/** As demand.ts holds ahead for short chunks, per slot. */
const AHEAD = 4

interface Held {
  message: TaskMessage
  ack: string | undefined
  /** The result, once it is there, until it is confirmed. */
  result: Uint8Array | undefined
  sentAt: number
}

class SimulatedNode {
  chunks = 0
  tasks = 0
  again = 0
  readonly #connection: Connection
  readonly #name: string
  readonly #slots: number
  readonly #held = new Map<string, Held>()
  readonly #puller: Puller

  constructor(connection: Connection, name: string, slots: number) {
    this.#connection = connection
    this.#name = name
    this.#slots = slots
    const { nc, pool, identity } = connection
    this.#puller = new Puller({
      nc,
      pool,
      identity,
      wanted: () => slots * (1 + AHEAD) - this.#running,
      accept: (data, ack) => this.#accept(data, ack),
      refuse: (ack) => nc.publish(ack, '-NAK'),
      missing: (why) => process.stderr.write(`${name}: ${why}\n`),
    })
    nc.subscribe(subjects.allOfNode(identity), { callback: (_, { data }) => this.#told(data) })
    nc.subscribe(subjects.allDirect(pool, identity), {
      callback: (_, { data }) => this.#accept(data, undefined),
    })
    nc.subscribe(subjects.roll(pool), { callback: () => this.#beat() })
    // Spread over the interval, as those of real nodes are.
    setTimeout(() => setInterval(() => this.#beat(), HEARTBEAT_MS), Math.random() * HEARTBEAT_MS)
    setInterval(() => this.#renew(), RENEW_MS)
    setInterval(() => this.#resend(), RESEND_MS)
    this.#beat()
    this.#puller.add(ANY)
  }

  /** Sent and received. */
  get messages(): number {
    const { inMsgs, outMsgs } = this.#connection.nc.stats()
    return inMsgs + outMsgs
  }

  /** Chunks without a result. */
  get #running(): number {
    let running = 0
    for (const { result } of this.#held.values()) if (!result) running++
    return running
  }

  #accept(data: Uint8Array, ack: string | undefined): void {
    const { nc, identity } = this.#connection
    const message = readMessage(data, ['task'])
    if (!message) return this.#answer(ack, '+TERM')
    const { client, job, chunk } = message
    const key = `${client} ${job} ${chunk}`
    if (this.#held.has(key)) return
    const held: Held = { message, ack, result: undefined, sentAt: 0 }
    this.#held.set(key, held)
    const ms = Number(taskMs) * message.count
    if (ms === 0) return this.#finish(held)
    nc.publish(
      subjects.client(client),
      writeMessage({ type: 'held', node: identity, chunks: [[job, chunk]] }),
    )
    setTimeout(() => this.#finish(held), ms)
  }

  #finish(held: Held): void {
    const { job, chunk, start, count, attempt, payload } = held.message
    held.result = writeMessage({
      type: 'result',
      node: this.#connection.identity,
      job,
      chunk,
      seq: 0,
      start,
      count,
      attempt,
      failed: [],
      last: true,
      ms: Number(taskMs) * count,
      payload,
      slot: this.#name,
    })
    this.chunks++
    this.tasks += count
    this.#send(held)
    this.#puller.refill()
  }

  #send(held: Held): void {
    held.sentAt = performance.now()
    this.#connection.nc.publish(subjects.client(held.message.client), held.result)
  }

  #told(data: Uint8Array): void {
    const message = readMessage(data, ['confirm', 'drop', 'forget'])
    if (message?.type === 'confirm') {
      for (const [job, chunk] of message.got) this.#end(`${message.client} ${job} ${chunk}`, '+ACK')
    } else if (message?.type === 'drop') {
      for (const [job, chunk] of message.chunks) this.#end(`${message.client} ${job} ${chunk}`, '+TERM')
    }
  }

  #end(key: string, verb: string): void {
    const held = this.#held.get(key)
    if (!held) return
    this.#held.delete(key)
    this.#answer(held.ack, verb)
  }

  #renew(): void {
    for (const { ack } of this.#held.values()) this.#answer(ack, '+WPI')
  }

  #answer(ack: string | undefined, verb: string): void {
    if (ack !== undefined) this.#connection.nc.publish(ack, verb)
  }

  #resend(): void {
    const late = performance.now() - RESEND_MS
    for (const held of this.#held.values()) {
      if (!held.result || held.sentAt > late) continue
      this.again++
      this.#send(held)
    }
  }

  #beat(): void {
    const { pool, identity, nc } = this.#connection
    const heartbeat = writeMessage({
      type: 'heartbeat',
      node: identity,
      name: this.#name,
      startedAt: 0,
      state: 'working',
      slots: this.#slots,
      free: Math.max(0, this.#slots - this.#running),
      tags: [],
      memory: 2 ** 30,
      host,
      protocol: PROTOCOL,
      held: Array.from(this.#held.values(), ({ message: { client, job, chunk } }) => [client, job, chunk]),
    })
    nc.publish(subjects.heartbeat(pool, identity), heartbeat)
  }
}

const host = hostFacts(`node ${process.versions.node}`)
const link: Link = parseLink(readFileSync(file, 'utf8').trim())
const nodes: SimulatedNode[] = []

async function open(index: number): Promise<void> {
  const identity = newIdentity(link.name)
  const connection = await openConnection(link, { role: 'node', identity, connectTimeoutMs: CONNECT_MS })
  if (index === 0) await layOut(connection)
  nodes.push(new SimulatedNode(connection, `sim-${process.pid}-${index}`, Number(slots)))
}

await open(0)
for (let from = 1; from < Number(count); from += OPENING) {
  const some = Math.min(OPENING, Number(count) - from)
  await Promise.all(Array.from({ length: some }, (_, i) => open(from + i)))
}
process.stdout.write('ready\n')
for await (const _ of createInterface({ input: process.stdin })) {
  const done = nodes.map(({ chunks, tasks, again, messages }) => ({ chunks, tasks, again, messages }))
  process.stdout.write(`${JSON.stringify(done)}\n`)
}
process.exit(0)
