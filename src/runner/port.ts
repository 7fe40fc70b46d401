/** The slot's end of the wire. */
import { parentPort } from 'node:worker_threads'
import type { FromSlot, ToSlot } from '../slot/protocol.ts'
import { fromWire, ownBuffers, toWire } from '../slot/wire.ts'

export interface Port {
  readonly isolation: 'thread' | 'process'
  send(message: FromSlot): void
  listen(receive: (message: ToSlot) => void): void
  close(): void
}

export function threadPort(): Port {
  const port = parentPort as NonNullable<typeof parentPort>
  return {
    isolation: 'thread',
    send(message) {
      port.postMessage(toWire(message), message.type === 'done' ? ownBuffers(message.payload) : [])
    },
    listen(receive) {
      port.on('message', (wire) => receive(fromWire(wire) as ToSlot))
    },
    close() {
      port.close()
    },
  }
}
