/** The slot's end of the wire. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FromSlot, Payload, ToSlot } from '../slot/protocol.ts'
import { fromWire, givenBuffers, ownBuffers, toWire } from '../slot/wire.ts'

export interface Port {
  readonly isolation: 'thread' | 'process'
  /** Memory limit in bytes, where one is set. */
  readonly memory: number | undefined
  send(message: FromSlot): void
  /** Whether these results are small enough for one message. */
  room(results: Payload): boolean
  listen(receive: (message: ToSlot) => void): void
  close(): void
}

export function threadPort(): Port {
  const port = parentPort as NonNullable<typeof parentPort>
  return {
    isolation: 'thread',
    memory: (workerData as { memory?: number }).memory,
    room: () => true,
    send(message) {
      port.postMessage(toWire(message), message.type === 'done' ? movable(message.payload) : [])
    },
    listen(receive) {
      port.on('message', (wire) => receive(fromWire(wire) as ToSlot))
    },
    // Not only the port: a timer that some task left behind must not keep the thread.
    close: () => process.exit(0),
  }
}

/**
 * Before Node.js 24, V8 gives up on fast typed arrays for the life of a thread when one buffer is detached: the same
 * loop took 1190 ms instead of 795 afterwards. So a slot moves only what the task itself gave away, and copies the rest.
 */
const DETACHING_IS_FREE = Number(process.versions.node.split('.')[0]) >= 24
const movable = DETACHING_IS_FREE ? ownBuffers : givenBuffers
