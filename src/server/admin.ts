/** What only the owner of a cluster may ask its server: to read its configuration again, and how it is. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node'
import { DicompError } from '../errors.ts'
import { SERVER_NAME } from './certificate.ts'
import { type ClusterState, filesOf } from './state.ts'
import { hostAndPort } from './tokens.ts'

const TIMEOUT_MS = 5000
const AGAIN_MS = 250

export interface ServerFacts {
  version: string
  startedAt: string
  connections: number
  /** Bytes, of the process. */
  memory: number
  /** Bytes of JetStream: in memory (queues) and on disk (values). */
  queued: number
  stored: number
}

/**
 * Has the server read its configuration again; when this returns, it has, and whoever is no longer allowed in is cut.
 * @returns false where no server runs: it will read it when it starts
 */
export async function reload(dir: string, state: ClusterState): Promise<boolean> {
  const answer = await ask(dir, state, 'RELOAD')
  return answer !== undefined
}

/** @returns undefined where no server runs */
export async function serverFacts(dir: string, state: ClusterState): Promise<ServerFacts | undefined> {
  const facts = (await ask(dir, state, 'VARZ')) as Varz | undefined
  return (
    facts && {
      version: facts.version,
      startedAt: facts.start,
      connections: facts.connections,
      memory: facts.mem,
      queued: facts.jetstream?.stats?.memory ?? 0,
      stored: facts.jetstream?.stats?.storage ?? 0,
    }
  )
}

interface Varz {
  version: string
  start: string
  connections: number
  mem: number
  jetstream?: { stats?: { memory?: number; storage?: number } }
}

async function ask(dir: string, state: ClusterState, what: 'RELOAD' | 'VARZ'): Promise<unknown> {
  const nc = await adminConnection(dir, state)
  if (!nc) return undefined
  try {
    const subject = `$SYS.REQ.SERVER.${nc.info?.server_id}.${what}`
    const reply = await nc.request(subject, '', { timeout: TIMEOUT_MS })
    const { data, error } = reply.json<{ data?: unknown; error?: { description?: string } }>()
    if (error) throw new Error(error.description ?? JSON.stringify(error))
    return data ?? {}
  } catch (error) {
    throw new DicompError('DICOMP_E_UP', `nats-server does not do what it should: ${messageOf(error)}`, {
      fix: `see ${filesOf(dir).log}, then start the cluster again: npx dicomp up`,
      cause: error,
    })
  } finally {
    await nc.close()
  }
}

/** With the certificate itself, so that nothing else that listens at the port is taken for our server. */
async function adminConnection(dir: string, state: ClusterState): Promise<NatsConnection | undefined> {
  const { host, port } = state.settings
  const here = reachable(host)
  const tls = {
    handshakeFirst: true,
    ca: readFileSync(filesOf(dir).cert, 'utf8'),
    servername: SERVER_NAME,
  }
  const attempt = () =>
    connect({
      servers: hostAndPort(here, port),
      tls,
      authenticator: nkeyAuthenticator(new TextEncoder().encode(state.admin.seed)),
      reconnect: false,
      timeout: TIMEOUT_MS,
    })
  try {
    return await attempt().catch(async (error) => {
      // While it reads its configuration again, it refuses who is just coming in.
      if (/refused/i.test(messageOf(error))) throw error
      await sleep(AGAIN_MS)
      return attempt()
    })
  } catch (error) {
    if (/refused/i.test(messageOf(error))) return undefined
    throw new DicompError(
      'DICOMP_E_UP',
      `What listens at ${hostAndPort(here, port)} is not the server of this cluster: ${messageOf(error)}`,
      { fix: 'end it, or start the cluster at another port: npx dicomp up --port', cause: error },
    )
  }
}

/** An address at which the server on this computer answers. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  return host === '::' ? '::1' : host
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
