/**
 * What detached jobs have on the server. All of it is in files, and named by the job, so that it can be removed.
 *
 *   J  dicomp.j.<pool>.<job>.record|want|state   one message each: what it is, what users want, how it is
 *   R  dicomp.r.<pool>.<job>.out                 its outcomes, in the order in which they came
 *      dicomp.r.<pool>.<job>.b.<id>              pieces of what is large: code, captured values, arguments, results
 *   L  dicomp.l.<pool>.<job>                     what its tasks print; the oldest lines give way
 *   Q  dicomp.q.<pool>.<job>                     jobs that a driver has to take, until they are over
 */
import { request } from './api.ts'
import type { Connection } from './connection.ts'

const NS = 'dicomp'

export const detached = {
  record: (pool: string, job: string) => `${NS}.j.${pool}.${job}.record`,
  want: (pool: string, job: string) => `${NS}.j.${pool}.${job}.want`,
  state: (pool: string, job: string) => `${NS}.j.${pool}.${job}.state`,
  /** Of one job, or of all: `*`. */
  jobs: (pool: string, job: string) => `${NS}.j.${pool}.${job}.*`,
  out: (pool: string, job: string) => `${NS}.r.${pool}.${job}.out`,
  bytes: (pool: string, job: string, id: string) => `${NS}.r.${pool}.${job}.b.${id}`,
  results: (pool: string, job: string) => `${NS}.r.${pool}.${job}.>`,
  log: (pool: string, job: string) => `${NS}.l.${pool}.${job}`,
  todo: (pool: string, job: string) => `${NS}.q.${pool}.${job}`,
} as const

export type Kind = 'J' | 'R' | 'L' | 'Q'
export const KINDS: readonly Kind[] = ['J', 'R', 'L', 'Q']
export const streamOfKind = (kind: Kind, pool: string): string => `${kind}_${pool}`
/** Consumer of Q, which all drivers share. */
export const DRIVE = 'drive'
/** A job whose driver has not renewed its lease for this long is given to another one. */
export const DRIVE_LEASE_MS = 8000
export const DRIVE_RENEW_MS = 2000

/** Nothing of a job stays longer than this, whatever becomes of it: 30 days. */
export const LONGEST_KEPT_MS = 30 * 24 * 3_600_000
const NS_PER_MS = 1e6
const LOG_BYTES = 256 << 20
const LOG_MESSAGES_PER_JOB = 20_000
const MAX_WAITING = 1000

/** Configurations of the streams, as the server takes them. */
export function detachedStreams(pool: string, replicas: number) {
  const common = {
    storage: 'file' as const,
    num_replicas: replicas,
    max_age: LONGEST_KEPT_MS * NS_PER_MS,
    max_bytes: -1,
    allow_direct: true,
  }
  const keep = { retention: 'limits' as const, discard: 'new' as const, ...common }
  return [
    {
      name: streamOfKind('J', pool),
      subjects: [detached.jobs(pool, '*')],
      ...keep,
      discard: 'old' as const,
      max_msgs_per_subject: 1,
    },
    { name: streamOfKind('R', pool), subjects: [detached.results(pool, '*')], ...keep },
    {
      name: streamOfKind('L', pool),
      subjects: [detached.log(pool, '*')],
      ...keep,
      discard: 'old' as const,
      max_bytes: LOG_BYTES,
      max_msgs_per_subject: LOG_MESSAGES_PER_JOB,
    },
    {
      name: streamOfKind('Q', pool),
      subjects: [detached.todo(pool, '*')],
      ...common,
      retention: 'workqueue' as const,
      discard: 'old' as const,
      max_msgs_per_subject: 1,
    },
  ]
}

/** The consumer from which drivers take jobs: one that dies is replaced when its lease has run out. */
export async function ensureDriveConsumer(connection: Connection): Promise<void> {
  const stream = streamOfKind('Q', connection.pool)
  await request(connection, `CONSUMER.CREATE.${stream}.${DRIVE}`, {
    stream_name: stream,
    action: '',
    config: {
      name: DRIVE,
      durable_name: DRIVE,
      deliver_policy: 'all',
      ack_policy: 'explicit',
      ack_wait: DRIVE_LEASE_MS * NS_PER_MS,
      max_ack_pending: -1,
      max_waiting: MAX_WAITING,
      max_deliver: -1,
    },
  })
}

/** What clients (and drivers, which are clients) publish to use them. */
export function detachedForClients(pool: string): string[] {
  const queue = streamOfKind('Q', pool)
  return [
    `${NS}.j.${pool}.*.*`,
    `${NS}.r.${pool}.>`,
    `${NS}.l.${pool}.*`,
    `${NS}.q.${pool}.*`,
    ...KINDS.map((kind) => `$JS.API.STREAM.INFO.${streamOfKind(kind, pool)}`),
    ...(['J', 'R', 'L'] as const).flatMap((kind) => {
      const stream = streamOfKind(kind, pool)
      return [`$JS.API.STREAM.PURGE.${stream}`, `$JS.API.DIRECT.GET.${stream}`]
    }),
    ...(['J', 'R', 'Q'] as const).map((kind) => `$JS.API.STREAM.MSG.GET.${streamOfKind(kind, pool)}`),
    // Instead of a purge, see Store.#dequeue().
    `$JS.API.STREAM.MSG.DELETE.${queue}`,
    `$JS.API.CONSUMER.INFO.${queue}.${DRIVE}`,
    `$JS.API.CONSUMER.MSG.NEXT.${queue}.${DRIVE}`,
    `$JS.ACK.${queue}.>`,
    `$JS.ACK.*.*.${queue}.>`,
  ]
}

/** What nodes publish to lay them out. */
export function detachedForNodes(pool: string): string[] {
  return [
    ...KINDS.flatMap((kind) =>
      ['INFO', 'CREATE'].map((verb) => `$JS.API.STREAM.${verb}.${streamOfKind(kind, pool)}`),
    ),
    `$JS.API.CONSUMER.CREATE.${streamOfKind('Q', pool)}.>`,
  ]
}

/** Changes of jobs are told to whoever waits for them. */
export const detachedSubscriptions = (pool: string): string[] => [`${NS}.j.${pool}.*.*`, `${NS}.l.${pool}.*`]
