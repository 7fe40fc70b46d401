import { resolve } from 'node:path'
import {
  defaultDataDir,
  type FoundServer,
  filesOf,
  findServer,
  hostAndPort,
  installServer,
  ownerOf,
  readState,
  type ServerFacts,
  serverFacts,
} from '../server/index.ts'
import { EXIT } from './exit.ts'

export interface EngineOptions {
  data?: string
  json?: boolean
}

/** `dicomp engine install|status`. Resolves to the exit code. */
export async function engine(action: 'install' | 'status', options: EngineOptions): Promise<number> {
  return action === 'install' ? install(options) : status(options)
}

async function install({ json }: EngineOptions): Promise<number> {
  const found = await installServer((line) => process.stderr.write(`${line}\n`))
  if (json) process.stdout.write(`${JSON.stringify(found)}\n`)
  return EXIT.ok
}

interface Status {
  server: FoundServer | { missing: string }
  cluster:
    | { folder: string; up: false }
    | {
        folder: string
        up: true
        process: number
        address: string
        pool: string
        facts: ServerFacts | undefined
      }
}

async function status({ data, json }: EngineOptions): Promise<number> {
  const found = await gather(resolve(data ?? defaultDataDir()))
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : format(found))
  return 'missing' in found.server ? EXIT.failure : EXIT.ok
}

async function gather(folder: string): Promise<Status> {
  const server = await findServer().catch((error: Error) => ({ missing: error.message }))
  const state = readState(folder)
  const owner = await ownerOf(folder)
  if (!state || owner === undefined) return { server, cluster: { folder, up: false } }
  const { host, port, pool } = state.settings
  const facts = await serverFacts(folder, state)
  return {
    server,
    cluster: { folder, up: true, process: owner, address: hostAndPort(host, port), pool, facts },
  }
}

function format({ server, cluster }: Status): string {
  const lines = ['missing' in server ? server.missing : `nats-server ${server.version}: ${server.path}`]
  if (!cluster.up) {
    lines.push(`No cluster is up in ${cluster.folder}.`)
  } else {
    const { facts } = cluster
    lines.push(
      `The cluster in ${cluster.folder} is up: ${cluster.address}, pool ${cluster.pool}, process ${cluster.process}.`,
      facts
        ? `Its nats-server ${facts.version} has ${facts.connections} connections, ${megabytes(facts.memory)} of memory, ${megabytes(facts.queued)} queued, ${megabytes(facts.stored)} stored.`
        : `Its nats-server does not answer; it is being started again. See ${filesOf(cluster.folder).log}`,
    )
  }
  return `${lines.join('\n')}\n`
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
