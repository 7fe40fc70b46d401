/** Pulls by hand, to see what the server does. */
import type { Msg } from '@nats-io/transport-node'
import type { Connection } from '../../src/nats/connection.ts'
import { inboxOf, streamOf } from '../../src/nats/subjects.ts'

let pulls = 0

/** The next message of a consumer. Undefined when there is none within `expiresMs`. */
export async function pull(
  { nc, pool, identity }: Connection,
  consumer: string,
  expiresMs = 0,
): Promise<Msg | undefined> {
  // Pulled messages come with the subject that they were stored under: nc.request() would not know them.
  const inbox = `${inboxOf(identity)}.pull${pulls++}`
  const first = new Promise<Msg>((resolve, reject) => {
    nc.subscribe(inbox, { max: 1, callback: (error, msg) => (error ? reject(error) : resolve(msg)) })
  })
  const body = expiresMs === 0 ? { batch: 1, no_wait: true } : { batch: 1, expires: expiresMs * 1e6 }
  nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${streamOf(pool)}.${consumer}`, JSON.stringify(body), {
    reply: inbox,
  })
  const msg = await first
  return msg.headers && msg.headers.code >= 400 ? undefined : msg
}
