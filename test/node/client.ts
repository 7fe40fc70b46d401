/** A client as nodes see it, spoken by hand: what it publishes and confirms is decided by each test. */
import { createHash } from 'node:crypto'
import { decode, encode, encodeList, fromFrame, toFrame } from '../../src/codec/index.ts'
import { Blobs } from '../../src/nats/blobs.ts'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { parseLink } from '../../src/nats/link.ts'
import {
  type BlobRef,
  type Bytes,
  type Confirmation,
  type Heartbeat,
  type LostMessage,
  type Need,
  payloadFrame,
  type RemoteSpec,
  type ResultMessage,
  readMessage,
  readPayload,
  specFrame,
  type ToClient,
  type ToNode,
  type ToNodes,
  writeMessage,
} from '../../src/nats/messages.ts'
import { ANY, type Level, newIdentity, subjects } from '../../src/nats/subjects.ts'

export interface TaskSetup {
  job?: number
  chunk: number
  start?: number
  inputs: unknown[]
  attempt?: number
  skip?: number[]
  /** Body of the function, see program(). */
  body?: string
  code?: BlobRef
  env?: Bytes
  /** Arguments through the object store. */
  stored?: boolean
  /** Whether the message describes the job. @default true */
  described?: boolean
  /** What it confirms by the way. */
  got?: Confirmation[]
  spec?: Partial<Omit<RemoteSpec, 'program'>>
  natives?: RemoteSpec['program']['natives']
  level?: Level
  need?: string
}

export interface Results {
  /** By index. */
  values: Map<number, unknown>
  /** Thrown by the task. */
  failed: Map<number, unknown>
  /** Not obtained. */
  lost: Map<number, Error>
}

export class FakeClient {
  readonly id: string
  readonly connection: Connection
  readonly blobs: Blobs
  /** Everything that came, in order. */
  readonly messages: ToClient[] = []
  readonly heartbeats: Heartbeat[] = []
  /** Confirm results as they come. */
  confirms = true
  readonly #wakers = new Set<() => void>()
  #alive: NodeJS.Timeout | undefined

  static async open(url: string): Promise<FakeClient> {
    const identity = newIdentity('tester')
    const client = new FakeClient(await openConnection(parseLink(url), { role: 'client', identity }))
    await client.connection.nc.flush()
    return client
  }

  constructor(connection: Connection) {
    this.connection = connection
    this.id = connection.identity
    this.blobs = new Blobs(connection)
    const { nc, pool } = connection
    nc.subscribe(subjects.client(this.id), { callback: (_, { data }) => this.#receive(data) })
    nc.subscribe(subjects.heartbeats(pool), {
      callback: (_, { data }) => {
        const heartbeat = readMessage(data, ['heartbeat'])
        if (heartbeat) this.heartbeats.push(heartbeat)
        this.#wake()
      },
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#alive)
    await this.connection.close()
  }

  /** A bundle whose function is `async (...rest) => { const [arg] = rest; <body> }`, in the object store. */
  async program(body: string): Promise<BlobRef> {
    const fn = `async (...rest) => { const [arg] = rest; ${body} }`
    const prelude = "const { task, distribute } = globalThis[Symbol.for('dicomp.runtime')];"
    const text = `${prelude} export default (env) => { const v = env([]); return { fn: ${fn}, entities: [] } }`
    return this.blobs.put(Buffer.from(text))
  }

  /** Publishes a chunk, and waits until the queue has it. */
  async task(setup: TaskSetup): Promise<void> {
    const { nc, pool } = this.connection
    const { level = 'p1', need = ANY } = setup
    const message = await this.message(setup)
    const ack = await nc.request(subjects.task(pool, level, need, this.id), message)
    const { error } = ack.json<{ error?: { description: string } }>()
    if (error) throw new Error(error.description)
  }

  async message(setup: TaskSetup): Promise<Uint8Array> {
    const { job = 1, chunk, start = 0, inputs, attempt = 1, skip = [], body = 'return arg * 2' } = setup
    const code = setup.code ?? (await this.program(body))
    const numbers = inputs.every((input) => typeof input === 'number')
    const frame = payloadFrame(
      numbers
        ? { kind: 'f64', values: inputs as number[] }
        : { kind: 'any', lists: inputs.map((input) => encodeList([input]).encoded) },
    )
    const payload = setup.stored ? { blob: await this.blobs.put(frame) } : { inline: frame }
    const spec: RemoteSpec = {
      id: `job-${job}`,
      name: 'body',
      program: {
        id: job,
        name: 'body',
        code,
        natives: setup.natives ?? [],
        env: setup.env ?? { inline: toFrame(encode([])) },
      },
      spread: false,
      priority: 0,
      cap: 1000,
      solo: false,
      timeout: undefined,
      concurrency: Infinity,
      crashes: 3,
      pool: { isolation: 'thread', memory: undefined, env: {} },
      ...setup.spec,
    }
    const { id: client } = this
    const count = inputs.length
    const { described = true, got } = setup
    const parts = { client, job, chunk, start, count, attempt, skip, payload, ...(got && { got }) }
    return writeMessage({ type: 'task', ...parts, ...(described && { spec: specFrame(spec) }) })
  }

  toNode(node: string, message: ToNode): void {
    this.connection.nc.publish(subjects.node(node, this.id), writeMessage(message))
  }

  toNodes(message: ToNodes): void {
    this.connection.nc.publish(subjects.clients(this.connection.pool, this.id), writeMessage(message))
  }

  /** Says that it lives, now and every 100 ms. */
  live(needs: Need[] = []): void {
    clearInterval(this.#alive)
    const say = (): void => this.toNodes({ type: 'alive', client: this.id, needs })
    say()
    this.#alive = setInterval(say, 100)
  }

  /** Messages of one kind. */
  of<T extends ToClient['type']>(type: T): Extract<ToClient, { type: T }>[] {
    return this.messages.filter((message) => message.type === type) as Extract<ToClient, { type: T }>[]
  }

  /** Results and losses of a chunk, as often as they came. */
  outcomes(chunk: number, job = 1): (ResultMessage | LostMessage)[] {
    return [...this.messages].filter(
      (message) =>
        (message.type === 'result' || message.type === 'lost') &&
        message.chunk === chunk &&
        message.job === job,
    ) as (ResultMessage | LostMessage)[]
  }

  /** Waits until the last message of a chunk is there, with all before it. */
  async over(chunk: number, job = 1): Promise<(ResultMessage | LostMessage)[]> {
    await this.when(() => this.isOver(chunk, job), `chunk ${chunk} is over`)
    return this.outcomes(chunk, job)
  }

  isOver(chunk: number, job = 1): boolean {
    const seen = this.outcomes(chunk, job)
    const last = seen.find((message) => message.last)
    return last !== undefined && new Set(seen.map(({ seq }) => seq)).size === last.seq + 1
  }

  /** What the chunks of job 1 came to, by index. */
  async results(...chunks: number[]): Promise<Results> {
    const found: Results = { values: new Map(), failed: new Map(), lost: new Map() }
    for (const chunk of chunks) await this.#readChunk(chunk, 1, found)
    return found
  }

  /** Results of one chunk of any job. */
  async values(chunk: number, job: number): Promise<unknown[]> {
    const found: Results = { values: new Map(), failed: new Map(), lost: new Map() }
    await this.#readChunk(chunk, job, found)
    return [...found.values.values()]
  }

  async #readChunk(chunk: number, job: number, found: Results): Promise<void> {
    const seen = new Set<number>()
    for (const message of await this.over(chunk, job)) {
      if (seen.has(message.seq)) continue
      seen.add(message.seq)
      await this.#read(message, found)
    }
  }

  async #read(message: ResultMessage | LostMessage, found: Results): Promise<void> {
    const { start, count } = message
    if (message.type === 'lost') {
      const error = decode(fromFrame(message.error)) as Error
      for (let index = start; index < start + count; index++) found.lost.set(index, error)
      return
    }
    const frame =
      'inline' in message.payload ? message.payload.inline : await this.blobs.get(message.payload.blob)
    const payload = readPayload(frame)
    const values =
      payload.kind === 'f64'
        ? [...payload.values]
        : payload.lists.flatMap((list) => decode(list) as unknown[])
    if (values.length !== count) throw new Error(`${values.length} results for ${count} tasks`)
    values.forEach((value, offset) => {
      const into = message.failed.includes(offset) ? found.failed : found.values
      into.set(start + offset, value)
    })
  }

  /** Resolves as soon as the condition holds, and rejects when it has not for `ms`. */
  when(condition: () => boolean, what = String(condition), ms = 15_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#wakers.delete(look)
        const seen = this.messages.map((message) => message.type).join(' ')
        reject(new Error(`not seen in ${ms} ms: ${what}; messages: ${seen}`))
      }, ms)
      const look = (): void => {
        if (!condition()) return
        clearTimeout(late)
        this.#wakers.delete(look)
        resolve()
      }
      this.#wakers.add(look)
      look()
    })
  }

  /** Chunks that a node says it holds, by its newest heartbeat. */
  heldBy(node: string): number[] {
    const newest = this.heartbeats.findLast((heartbeat) => heartbeat.node === node)
    return (newest?.held ?? []).filter(([client]) => client === this.id).map(([, , chunk]) => chunk)
  }

  /** Waits for a heartbeat that is sent after this call. */
  async heartbeat(condition: (heartbeat: Heartbeat) => boolean): Promise<Heartbeat> {
    const from = this.heartbeats.length
    const fits = (): Heartbeat | undefined => this.heartbeats.slice(from).find(condition)
    await this.when(() => fits() !== undefined, `a heartbeat with ${condition}`)
    return fits() as Heartbeat
  }

  /** Chunks in the work queue, held ones too. */
  async queued(): Promise<number> {
    const reply = await this.connection.nc.request(`$JS.API.STREAM.INFO.T_${this.connection.pool}`)
    return reply.json<{ state: { messages: number } }>().state.messages
  }

  /** Waits until the queue has so many chunks. */
  async untilQueued(count: number): Promise<void> {
    const end = performance.now() + 10_000
    // While the server is away, or has no queue yet, nobody knows.
    const look = (): Promise<number> => this.queued().catch(() => -1)
    for (let seen = await look(); seen !== count; seen = await look()) {
      if (performance.now() > end) throw new Error(`there are ${seen} chunks in the queue, not ${count}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Waits until nodes have made a consumer. */
  async untilConsumer(name: string): Promise<void> {
    const end = performance.now() + 10_000
    for (;;) {
      const reply = await this.connection.nc.request(
        `$JS.API.CONSUMER.INFO.T_${this.connection.pool}.${name}`,
      )
      if (!reply.json<{ error?: unknown }>().error) return
      if (performance.now() > end) throw new Error(`there is no consumer ${name}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  #receive(data: Uint8Array): void {
    const message = readMessage(data, ['held', 'full', 'result', 'lost', 'log', 'progress'])
    if (!message) throw new Error('a node sent something that cannot be read')
    this.messages.push(message)
    if ((message.type === 'result' || message.type === 'lost') && this.confirms) {
      const { node, job, chunk, seq } = message
      this.toNode(node, { type: 'confirm', client: this.id, got: [[job, chunk, seq]] })
    }
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake()
  }
}

/** Where bytes would be in the object store, if they were there. */
export const refOf = (bytes: Uint8Array): BlobRef => ({
  hash: createHash('sha256').update(bytes).digest('hex'),
  size: bytes.length,
})
