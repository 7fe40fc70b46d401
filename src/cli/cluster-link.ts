/** Connections of the commands that look at a cluster. */
import { type Connection, openConnection } from '../nats/connection.ts'
import { parseLink } from '../nats/link.ts'
import { newIdentity } from '../nats/subjects.ts'
import { readLinkText } from './link-text.ts'

export interface ClusterOptions {
  /** The link, or `@file`, or `-`. @default DICOMP_URL */
  cluster?: string
  json?: boolean
}

/** Runs `work` on a connection of its own. */
export async function withCluster<T>(
  { cluster }: ClusterOptions,
  command: string,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const link = parseLink(readLinkText(cluster, `dicomp ${command}`))
  const connection = await openConnection(link, {
    role: link.role ?? 'client',
    identity: newIdentity(link.name),
  })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
