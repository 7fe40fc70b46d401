/**
 * A slot that is a child process: whatever happens in it (native crash, out of memory, a blocked call, exit)
 * ends it alone. Messages are frames on file descriptor 3.
 */
import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { frames, writeFrame } from './frames.ts'
import type { FromSlot, SlotKind, ToSlot } from './protocol.ts'
import { runnerFile } from './runner-file.ts'
import { type Slot, type SlotEvents, STDERR_TAIL } from './slot.ts'
import { fromWire, toWire } from './wire.ts'

export function spawnProcess(_id: number, kind: SlotKind, events: SlotEvents): Slot {
  const flags = kind.memory === undefined ? [] : [`--max-old-space-size=${Math.ceil(kind.memory / 2 ** 20)}`]
  const child = spawn(process.execPath, [...flags, runnerFile()], {
    env: kind.env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const socket = child.stdio[3] as Socket
  let stderrTail = ''
  let over = false

  socket.on(
    'data',
    frames((wire) => events.message(fromWire(wire) as FromSlot)),
  )
  socket.on('error', () => {})
  child.stdout?.on('data', () => {})
  child.stderr?.on('data', (data: Buffer) => {
    stderrTail = (stderrTail + data.toString()).slice(-STDERR_TAIL)
  })
  // 'close' comes after the last byte of every stream, so that no result or line is lost.
  child.on('error', (error) => {
    if (over) return
    over = true
    events.exited({ memory: false, stderrTail, cause: error })
  })
  child.on('close', (exitCode, signal) => {
    if (over) return
    over = true
    const memory = /heap out of memory|Allocation failed/.test(stderrTail)
    events.exited({ memory, exitCode: exitCode ?? undefined, signal: signal ?? undefined, stderrTail })
  })
  // What keeps the program alive is unfinished work (see LocalEngine), not an idle process.
  child.unref()
  for (const stream of [socket, child.stdout as Socket | null, child.stderr as Socket | null]) stream?.unref()

  return {
    label: `process ${child.pid}`,
    send(message: ToSlot) {
      if (!over && socket.writable) writeFrame(socket, toWire(message))
    },
    kill() {
      child.kill('SIGKILL')
    },
    close() {
      socket.end()
    },
  }
}
