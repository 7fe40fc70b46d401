/** Who is there: the nodes of a pool, asked by anybody who may look on. */
import type { Connection } from './connection.ts'
import { type Heartbeat, isRelayed, readMessage } from './messages.ts'
import { HEARTBEAT_MS } from './settings.ts'
import { subjects } from './subjects.ts'

/** Nodes that are there answer the call at once. One that is busy, or misses it, beats within this time. */
const LISTEN_MS = 2 * HEARTBEAT_MS
/** Nobody else will answer when all have been silent for so long, milliseconds. */
const SILENCE_MS = 300

/**
 * The last heartbeat of every node of the pool, by name.
 * @param listenMs longest time to wait for them
 */
export async function callRoll(connection: Connection, listenMs = LISTEN_MS): Promise<Heartbeat[]> {
  const { nc, pool } = connection
  const beats = new Map<string, Heartbeat>()
  let heardAt = Infinity
  const subscription = nc.subscribe(subjects.heartbeats(pool), {
    callback: (_, message) => {
      if (!message?.data || isRelayed(message)) return
      const beat = readMessage(message.data, ['heartbeat'])
      if (!beat || message.subject !== subjects.heartbeat(pool, beat.node)) return
      if (!beats.has(beat.node)) heardAt = performance.now()
      beats.set(beat.node, beat)
    },
  })
  try {
    nc.publish(subjects.roll(pool))
    const end = performance.now() + listenMs
    while (performance.now() < end && performance.now() - heardAt < SILENCE_MS)
      await new Promise((resolve) => setTimeout(resolve, 20))
  } finally {
    subscription.unsubscribe()
  }
  return [...beats.values()]
    .filter(({ state }) => state !== 'left')
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}
