/**
 * What has to be on the server before anything can run: the work queue with its consumers, the object store, what
 * detached jobs have. Nodes and `dicomp up` call this; again and from many places at once, it changes nothing.
 */
import { ConnectError } from '../errors.ts'
import { API_ERROR, ApiError, patiently, request } from './api.ts'
import type { Connection } from './connection.ts'
import { detachedStreams, ensureDriveConsumer } from './detached.ts'
import type { Need } from './messages.ts'
import { needKey } from './need.ts'
import { ACK_WAIT_MS, BLOB_TTL_MS } from './settings.ts'
import { ANY, bucketOf, consumerOf, LEVELS, streamOf, subjects } from './subjects.ts'

export { needKey } from './need.ts'

export interface LayoutOptions {
  /** Servers that keep a copy of each message. @default 3 in a cluster that has them, otherwise 1 */
  replicas?: number
  /** Limit of the object store, bytes. @default what the server allows */
  maxBytes?: number
}

interface StreamConfig {
  name: string
  subjects: string[]
  retention: 'workqueue' | 'limits'
  storage: 'memory' | 'file'
  discard: 'new' | 'old'
  max_bytes: number
  /** Nanoseconds. */
  max_age: number
  num_replicas: number
  allow_direct?: boolean
  allow_rollup_hdrs?: boolean
  max_msgs_per_subject?: number
}

const NS_PER_MS = 1e6
/** Chunks nobody asks for any more; clients publish those again that they still want. */
const QUEUE_TTL_MS = 24 * 3_600_000
/** Clients publish within a window: some thousand chunks of up to 256 KiB at the very most. */
const QUEUE_BYTES = 256 << 20
const LEAST_BYTES = 4 << 20
/** Where an account has to say how much it wants. */
const STORE_BYTES = 16 * 2 ** 30
/** A consumer for a need that no node has pulled from for this long is removed; ensureNeed() makes it again. */
const NEED_IDLE_MS = 3_600_000
/** Pulls that may wait at a consumer. The default of 512 would let every further node go hungry. */
const MAX_WAITING = 20_000
const CLUSTER_REPLICAS = 3

/**
 * Makes the work queue, its consumers for tasks without needs, and the object store, where they are not there.
 * What is there stays as it is, unless `options` say otherwise.
 * @throws ConnectError when the server has no JetStream (any more), no room, something else under these names, or
 * when the credentials do not allow it
 */
export async function layOut(connection: Connection, options: LayoutOptions = {}): Promise<void> {
  const { pool } = connection
  const replicas = options.replicas ?? (connection.nc.info?.cluster === undefined ? 1 : CLUSTER_REPLICAS)
  const queue: StreamConfig = {
    name: streamOf(pool),
    subjects: [subjects.allTasks(pool)],
    retention: 'workqueue',
    storage: 'memory',
    discard: 'new',
    max_bytes: QUEUE_BYTES,
    max_age: QUEUE_TTL_MS * NS_PER_MS,
    num_replicas: replicas,
  }
  const bucket = bucketOf(pool)
  const store: StreamConfig = {
    name: `OBJ_${bucket}`,
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_bytes: options.maxBytes ?? -1,
    max_age: BLOB_TTL_MS * NS_PER_MS,
    num_replicas: replicas,
    allow_direct: true,
    allow_rollup_hdrs: true,
  }
  const replicate = options.replicas === undefined ? {} : { num_replicas: options.replicas }
  const limit = options.maxBytes === undefined ? {} : { max_bytes: options.maxBytes }
  await patiently(connection, () => ensureStream(connection, queue, replicate))
  await patiently(connection, () => ensureConsumers(connection, ANY))
  await patiently(connection, () => ensureStream(connection, store, { ...replicate, ...limit }))
  await Promise.all(
    detachedStreams(pool, replicas).map((stream) =>
      patiently(connection, () => ensureStream(connection, stream, replicate)),
    ),
  )
  await patiently(connection, () => ensureDriveConsumer(connection))
}

/**
 * Makes the consumers for tasks with this need. Only nodes that meet it call this, and pull from them.
 * @returns the need's key, see consumerOf()
 */
export async function ensureNeed(connection: Connection, need: Need): Promise<string> {
  const key = needKey(need)
  await patiently(connection, () => ensureConsumers(connection, key))
  return key
}

/** @param wanted what has to be so, even where the stream is there */
async function ensureStream(
  connection: Connection,
  config: StreamConfig,
  wanted: Partial<StreamConfig>,
): Promise<void> {
  const found = await configOf(connection, config.name)
  if (found === undefined) return createStream(connection, { ...config, ...wanted }, wanted)
  if (found.retention !== config.retention || found.subjects.join() !== config.subjects.join()) {
    throw new ConnectError(
      'DICOMP_E_SERVER',
      `The server has a stream ${config.name} that dicomp did not make`,
      'use another pool, or remove the stream (`nats stream rm`)',
    )
  }
  const same = Object.entries(wanted).every(([key, value]) => found[key as keyof StreamConfig] === value)
  if (same) return
  await change(config.name, () =>
    request(connection, `STREAM.UPDATE.${config.name}`, { ...found, ...wanted }),
  )
}

async function configOf(connection: Connection, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await request<{ config: StreamConfig }>(connection, `STREAM.INFO.${name}`)).config
  } catch (error) {
    if (error instanceof ApiError && error.code === API_ERROR.streamNotFound) return undefined
    throw error
  }
}

async function createStream(
  connection: Connection,
  config: StreamConfig,
  wanted: Partial<StreamConfig>,
): Promise<void> {
  try {
    await request(connection, `STREAM.CREATE.${config.name}`, config)
  } catch (error) {
    const code = error instanceof ApiError ? error.code : 0
    // Somebody else was quicker, with other options.
    if (code === API_ERROR.streamExists) return
    const next = lesser(config, code)
    const isWanted = Object.entries(wanted).every(
      ([key, value]) => next?.[key as keyof StreamConfig] === value,
    )
    if (next === undefined || !isWanted) return change(config.name, () => Promise.reject(error))
    return createStream(connection, next, wanted)
  }
}

/** What to ask for when the server has less than was asked for. */
function lesser(config: StreamConfig, code: number): StreamConfig | undefined {
  const tooMany = code === API_ERROR.noPeers || code === API_ERROR.replicasNotSupported
  if (tooMany && config.num_replicas > 1) return { ...config, num_replicas: 1 }
  if (code === API_ERROR.bytesRequired && config.max_bytes < 0) return { ...config, max_bytes: STORE_BYTES }
  const tooMuch = code === API_ERROR.memoryExceeded || code === API_ERROR.noStorage
  if (tooMuch && config.max_bytes >= 2 * LEAST_BYTES)
    return { ...config, max_bytes: Math.floor(config.max_bytes / 2) }
  return undefined
}

/** @throws ConnectError that says what could not be had */
async function change(name: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof ApiError) || error.code === API_ERROR.temporarilyUnavailable) throw error
    throw new ConnectError(
      'DICOMP_E_SERVER',
      `The server does not take the stream ${name}: ${error.message}`,
      'give its JetStream more room, or fewer replicas',
      error,
    )
  }
}

async function ensureConsumers(connection: Connection, need: string): Promise<void> {
  const stream = streamOf(connection.pool)
  await Promise.all(
    LEVELS.map((level) => {
      const name = consumerOf(level, need)
      const filter = subjects.tasksOf(connection.pool, level, need)
      return request(connection, `CONSUMER.CREATE.${stream}.${name}.${filter}`, {
        stream_name: stream,
        action: '',
        config: {
          name,
          durable_name: name,
          filter_subject: filter,
          deliver_policy: 'all',
          ack_policy: 'explicit',
          ack_wait: ACK_WAIT_MS * NS_PER_MS,
          // Of all nodes together.
          max_ack_pending: -1,
          max_waiting: MAX_WAITING,
          // A chunk that kills its nodes is counted by its client, which sees why.
          max_deliver: -1,
          ...(need === ANY ? {} : { inactive_threshold: NEED_IDLE_MS * NS_PER_MS }),
        },
      })
    }),
  )
}
