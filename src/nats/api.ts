/** Requests to JetStream's API: plain JSON, so that a client need not load the library for it. */
import { ConnectError } from '../errors.ts'
import type { Connection } from './connection.ts'
import { isPassing } from './failures.ts'

/** Codes of errors that JetStream answers with, as far as we tell them apart. */
export const API_ERROR = {
  temporarilyUnavailable: 10008,
  insufficientResources: 10023,
  noPeers: 10005,
  memoryExceeded: 10028,
  messageNotFound: 10037,
  sequenceNotFound: 10043,
  noStorage: 10047,
  deleteFailed: 10057,
  streamExists: 10058,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  replicasNotSupported: 10074,
  storeFailed: 10077,
  bytesRequired: 10113,
} as const

/** JetStream's answer when it cannot do what was asked. */
export class ApiError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

const REQUEST_MS = 3000
/** A server that has just started, or elects a leader, gets this long. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 150

/**
 * @param path what follows `$JS.API.`
 * @throws ApiError; what Connection.request() throws
 */
export async function request<T = unknown>(connection: Connection, path: string, body?: unknown): Promise<T> {
  const data = body === undefined ? '' : JSON.stringify(body)
  const reply = await connection.request(`$JS.API.${path}`, data, { timeout: REQUEST_MS })
  const answer = reply.json<T & { error?: { err_code?: number; code: number; description?: string } }>()
  const { error } = answer
  if (error) throw new ApiError(error.err_code ?? error.code, error.description ?? 'JetStream refused')
  return answer
}

/**
 * Repeats what may fail while a server starts or elects a leader.
 * @throws ConnectError when it takes longer than ten seconds; what else `work` throws
 */
export async function patiently<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const passing = error instanceof ApiError ? isTemporary(error) : isPassing(error)
      if (!passing || connection.nc.isClosed()) throw error
      if (Date.now() > deadline) {
        throw new ConnectError(
          'DICOMP_E_SERVER',
          `JetStream of the server does not answer: ${(error as Error).message}`,
          'see the log of the nats-server; in a cluster, whether a majority of its servers runs',
          error,
        )
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
}

function isTemporary(error: ApiError): boolean {
  return error.code === API_ERROR.temporarilyUnavailable
}
