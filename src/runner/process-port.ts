/** The slot's end of the socket to its owner: file descriptor 3, frames with a length in front. */
import { writevSync } from 'node:fs'
import type { Duplex, Readable, Writable } from 'node:stream'
import { framed, frames, LARGEST_PAYLOAD } from '../slot/frames.ts'
import type { FromSlot, ToSlot } from '../slot/protocol.ts'
import { fromWire, payloadBytes, toWire } from '../slot/wire.ts'
import type { Port } from './port.ts'

const WIRE = 3
/** Pauses before another try to write: while the owner is about to read, and while it is busy or stopped. */
const SHORT_PAUSE_MS = 0.05
const QUICK_TRIES = 100
const LONG_PAUSE_MS = 5

export function processPort(): Port {
  const { input, write } = wire()
  // Without its owner a slot has nothing to do.
  const leave = (): void => process.exit(0)
  input.on('end', leave).on('error', leave)
  return {
    isolation: 'process',
    memory: Number(process.argv[2]) || undefined,
    room: (results) => payloadBytes(results) < LARGEST_PAYLOAD,
    send(message: FromSlot) {
      write(framed(toWire(message)))
    },
    listen(receive) {
      input.on(
        'data',
        frames((wire) => receive(fromWire(wire) as ToSlot)),
      )
    },
    close: leave,
  }
}

/** Both directions, as far as each runtime can do them. */
function wire(): { input: Readable; write(parts: Uint8Array[]): void } {
  // Not imported: threads, which have no use for it, would load it too.
  const builtin = process.getBuiltinModule
  // Bun has no sockets of a file descriptor.
  if ('bun' in process.versions) {
    return { input: builtin('node:fs').createReadStream('', { fd: WIRE }), write: writeNow }
  }
  const { Socket } = builtin('node:net')
  const socket: Duplex = new Socket({ fd: WIRE, readable: true, writable: true })
  // Written at once and not through the stream, which would keep what the kernel does not take until the task lets
  // the event loop run, and lose it when the task crashes. (Windows and Deno have no such files.)
  const streams = process.platform === 'win32' || 'deno' in process.versions
  return { input: socket, write: streams ? writeTo(socket) : writeNow }
}

function writeTo(socket: Writable): (parts: Uint8Array[]) => void {
  return (parts) => {
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Returns when the kernel has all of it. */
function writeNow(parts: Uint8Array[]): void {
  let rest = parts
  let tries = 0
  // That the kernel is full is no news worth a stack.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  while (rest.length > 0) {
    try {
      rest = after(rest, writevSync(WIRE, rest))
      tries = 0
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAGAIN' && code !== 'EINTR') process.exit(0)
      Atomics.wait(sleeper, 0, 0, tries++ < QUICK_TRIES ? SHORT_PAUSE_MS : LONG_PAUSE_MS)
    }
  }
  Error.stackTraceLimit = stackTraceLimit
}

/** What is left of `parts` after their first `written` bytes. */
function after(parts: Uint8Array[], written: number): Uint8Array[] {
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at] as Uint8Array
    if (written < part.byteLength) return [part.subarray(written), ...parts.slice(at + 1)]
    written -= part.byteLength
  }
  return []
}
