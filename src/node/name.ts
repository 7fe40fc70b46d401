/** The name of a node for people: two that run at the same time have different ones. */
import type { Connection } from '../nats/connection.ts'
import { readMessage } from '../nats/messages.ts'
import { subjects } from '../nats/subjects.ts'

/** Nodes that are there answer within this time, beside the round trip, milliseconds. */
const ANSWER_MS = 150

/** `wanted`, or `wanted-2` and so on where nodes of such names are there. */
export async function freeName(connection: Connection, wanted: string): Promise<string> {
  const { nc, pool, identity } = connection
  const taken = new Set<string>()
  const subscription = nc.subscribe(subjects.heartbeats(pool), {
    callback: (_, { data }) => {
      const heartbeat = data && readMessage(data, ['heartbeat'])
      if (heartbeat && heartbeat.state !== 'left' && heartbeat.node !== identity) taken.add(heartbeat.name)
    },
  })
  nc.publish(subjects.roll(pool))
  await new Promise((resolve) => setTimeout(resolve, ANSWER_MS))
  await nc.flush()
  subscription.unsubscribe()
  let name = wanted
  for (let count = 2; taken.has(name); count++) name = `${wanted}-${count}`
  return name
}
