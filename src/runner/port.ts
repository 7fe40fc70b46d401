/** The slot's end of the wire. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FromSlot, Payload, ToSlot } from '../slot/protocol.ts'
import { fromWire, movableBuffers, toWire } from '../slot/wire.ts'

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
      port.postMessage(toWire(message), message.type === 'done' ? movableBuffers(message.payload) : [])
    },
    listen(receive) {
      port.on('message', (wire) => receive(fromWire(wire) as ToSlot))
    },
    // Not only the port: a timer that some task left behind must not keep the thread.
    close: () => process.exit(0),
  }
}
