/**
 * A slot that is a child process: whatever happens in it (native crash, out of memory, a blocked call, exit)
 * ends it alone. Messages are frames on file descriptor 3.
 */
import type { Socket } from 'node:net'
import { decode, encode } from '../codec/index.ts'
import { EncodeError } from '../errors.ts'
import { framed, frames, LARGEST_PAYLOAD } from './frames.ts'
import { guard, HAS_GROUPS, unguard } from './guard.ts'
import { launch } from './launch.ts'
import { diedOfMemory, MemoryWatch, residentBytes, residentBytesOfAll, residentLimit } from './memory.ts'
import { OutputGate } from './output-gate.ts'
import type { DoneMessage, FromSlot, RunMessage, SlotKind, ToSlot } from './protocol.ts'
import { type Slot, type SlotEvents, tailOf } from './slot.ts'
import { fromWire, isFromSlot, payloadBytes, toWire } from './wire.ts'

/** Output that somebody else holds open (a process of its own that a task started) is waited for this long. */
const OUTPUT_MS = 200

export function spawnProcess(_id: number, kind: SlotKind, slots: number, events: SlotEvents): Slot {
  const child = launch(kind, slots)
  const pid = child.pid
  const socket = child.stdio[3] as Socket
  let cause: { error: unknown } | undefined
  let stderrTail = ''
  let memory = false
  let over = false
  let waiting: NodeJS.Timeout | undefined
  /** Chunks that it has, and how many tasks of each are reported. The first one runs. */
  const chunks = new Map<number, number>()
  if (pid !== undefined) guard(pid)

  const kill = (): void => {
    if (over || pid === undefined) return
    if (!HAS_GROUPS) child.kill('SIGKILL')
    else killGroup(pid)
  }
  const watch =
    kind.memory === undefined || pid === undefined
      ? undefined
      : new MemoryWatch(
          residentLimit(kind.memory),
          () => (kind.wrapper ? residentBytesOfAll(pid) : residentBytes(pid)),
          () => {
            memory = true
            kill()
          },
        )

  // ---- what it says -------------------------------------------------------------------------------------

  const receive = (message: FromSlot): void => {
    if (message.type === 'uncaught') {
      cause = { error: decode(message.error) }
      return
    }
    if (message.type === 'done') {
      if (message.last) {
        watch?.end()
        chunks.delete(message.chunk)
        stderrTail = ''
      } else chunks.set(message.chunk, message.from + message.count)
    }
    if (message.type === 'log' && message.stream === 'stderr') stderrTail = tailOf(stderrTail, message.text)
    events.message(message)
  }
  const split = frames((wire) => {
    if (isFromSlot(wire)) receive(fromWire(wire) as FromSlot)
  })
  socket.on('data', (data) => {
    if (cause) return
    try {
      split(data)
    } catch (error) {
      // A task has written to the slot's own file descriptor: nothing that it says can be understood any more.
      cause = { error }
      kill()
    }
  })
  socket.on('error', () => {})

  // What native code, the runtime itself and other processes print: nobody knows for which task, most likely it is
  // the one that runs.
  const gate = new OutputGate((piece) => events.message({ type: 'log', ...piece }))
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      if (name === 'stderr') stderrTail = tailOf(stderrTail, text)
      const [chunk = 0, offset = 0] = chunks.entries().next().value ?? []
      gate.write(name, chunk, offset, text)
    })
  }

  // ---- how it ends --------------------------------------------------------------------------------------

  const exited = (exitCode: number | undefined, signal: string | undefined): void => {
    if (over) return
    over = true
    clearTimeout(waiting)
    watch?.stop()
    gate.flush()
    for (const stream of [socket, child.stdout, child.stderr]) stream?.destroy()
    if (pid !== undefined) unguard(pid)
    events.exited({
      memory: memory || diedOfMemory(stderrTail),
      exitCode,
      signal,
      stderrTail,
      ...(cause ? { cause: cause.error } : {}),
    })
  }
  child.on('error', (error) => {
    cause ??= { error }
    if (pid === undefined) exited(undefined, undefined)
  })
  child.on('exit', (exitCode, signal) => {
    // What it started ends with it.
    kill()
    waiting = setTimeout(() => exited(exitCode ?? undefined, signal ?? undefined), OUTPUT_MS)
  })
  // 'close' comes after the last byte of every stream, so that no result or line is lost.
  child.on('close', (exitCode, signal) => exited(exitCode ?? undefined, signal ?? undefined))

  // What keeps the program alive is unfinished work (see LocalEngine), not an idle process.
  child.unref()
  for (const stream of [socket, child.stdout as Socket | null, child.stderr as Socket | null]) stream?.unref()

  return {
    label: `process ${pid ?? '(not started)'}`,
    send(message: ToSlot) {
      if (over || !socket.writable) return
      if (message.type === 'run') {
        if (payloadBytes(message.payload) >= LARGEST_PAYLOAD) {
          queueMicrotask(() => events.message(tooLarge(message)))
          return
        }
        chunks.set(message.chunk, 0)
        watch?.begin()
      }
      socket.cork()
      for (const part of framed(toWire(message))) socket.write(part)
      socket.uncork()
    },
    kill,
    close() {
      socket.end()
    },
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}

/** The answer to a chunk that cannot be sent. */
function tooLarge({ chunk, count, payload }: RunMessage): DoneMessage {
  const size = Math.round(payloadBytes(payload) / 2 ** 20)
  const error = new EncodeError(
    'args',
    `${size} MB are more than a process slot takes at once (2 GB)`,
    "write it to a file and send its path, or use isolation: 'thread'",
  )
  const failed = Array.from({ length: count }, (_, offset) => offset)
  const list = encode(Array.from(failed, () => error))
  return {
    type: 'done',
    chunk,
    from: 0,
    count,
    failed,
    last: true,
    ms: 0,
    payload: { kind: 'any', lists: [list] },
  }
}
