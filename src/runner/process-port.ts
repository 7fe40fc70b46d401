/** The slot's end of the socket to its owner: file descriptor 3, frames with a length in front. */
import { Socket } from 'node:net'
import { frames, writeFrame } from '../slot/frames.ts'
import type { ToSlot } from '../slot/protocol.ts'
import { fromWire, toWire } from '../slot/wire.ts'
import type { Port } from './port.ts'

export function processPort(): Port {
  const socket = new Socket({ fd: 3, readable: true, writable: true })
  // Without its owner a slot has nothing to do.
  const leave = (): void => process.exit(0)
  socket.on('end', leave).on('error', leave)
  return {
    isolation: 'process',
    send(message) {
      writeFrame(socket, toWire(message))
    },
    listen(receive) {
      socket.on(
        'data',
        frames((wire) => receive(fromWire(wire) as ToSlot)),
      )
    },
    close() {
      socket.end(leave)
    },
  }
}
