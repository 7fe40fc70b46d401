import { NodeError } from '../errors.ts'
import type { Connection } from '../nats/connection.ts'
import { type Heartbeat, writeMessage } from '../nats/messages.ts'
import { callRoll } from '../nats/roll.ts'
import { PROTOCOL } from '../nats/settings.ts'
import { subjects } from '../nats/subjects.ts'
import { formatBytes } from '../progress/index.ts'
import { type ClusterOptions, printJson, withCluster } from './cluster-link.ts'
import { EXIT } from './exit.ts'
import { table } from './table.ts'

/** Lists the nodes of the pool. Resolves to the exit code. */
export function nodes(options: ClusterOptions): Promise<number> {
  return withCluster(options, 'nodes', async (connection) => {
    const beats = await callRoll(connection)
    if (options.json) printJson(beats.map(nodeFacts))
    else if (beats.length === 0) process.stdout.write(`${nobody(connection)}\n`)
    else process.stdout.write(nodeTable(beats))
    return EXIT.ok
  })
}

/** Has a node finish what it runs, take nothing new, and leave. Resolves to the exit code. */
export function drain(name: string, options: ClusterOptions): Promise<number> {
  return withCluster(options, 'node drain', async (connection) => {
    const beats = await callRoll(connection)
    const found = beats.find((beat) => beat.name === name || beat.node === name)
    if (!found) {
      throw new NodeError(
        `There is no node "${name}" in the pool ${connection.pool}`,
        beats.length === 0 ? nobody(connection) : `name one of: ${beats.map((beat) => beat.name).join(', ')}`,
      )
    }
    connection.nc.publish(subjects.node(found.node, connection.identity), writeMessage({ type: 'drain' }))
    await connection.nc.flush()
    const chunks = found.held.length
    if (options.json) printJson({ node: found.name, state: 'draining', chunks })
    else
      process.stderr.write(`${found.name} finishes the ${chunks} pieces of work that it has, then leaves.\n`)
    return EXIT.ok
  })
}

export function nodeFacts(beat: Heartbeat) {
  const { name, slots, free, tags, memory, host, held } = beat
  return { name, state: stateOf(beat), slots, free, tags, memory, host, chunks: held.length }
}

export function nodeTable(beats: Heartbeat[]): string {
  const rows = beats.map((beat) => [
    beat.name,
    stateOf(beat),
    `${beat.slots - beat.free}/${beat.slots}`,
    beat.tags.join(',') || '-',
    formatBytes(beat.memory),
    beat.host.load.toFixed(1),
    `${beat.host.os} ${beat.host.arch}`,
    beat.host.runtime,
    beat.host.dicomp,
  ])
  return table(['NODE', 'STATE', 'BUSY', 'TAGS', 'MEMORY/SLOT', 'LOAD', 'SYSTEM', 'RUNTIME', 'DICOMP'], rows)
}

export const nobody = ({ pool }: Connection): string =>
  `no node is in the pool ${pool}; add one: npx dicomp join <link>`

function stateOf({ protocol, state }: Heartbeat): string {
  return protocol === PROTOCOL ? state : 'incompatible'
}
