/** For runtimes.test.ts: connects with the link given, stores something and ends by itself. */
import { Blobs } from '../../src/nats/blobs.ts'
import { openConnection } from '../../src/nats/connection.ts'
import { layOut } from '../../src/nats/layout.ts'
import { parseLink } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'

const link = parseLink(process.env.LINK ?? '')
const connection = await openConnection(link, { role: 'client', identity: newIdentity(link.name) })
await layOut(connection)
// Every piece is another.
const ref = await new Blobs(connection).put(new Uint8Array(20_000_000).map((_, i) => i >> 16))
console.log((await new Blobs(connection).get(ref)).length)
connection.unref()
