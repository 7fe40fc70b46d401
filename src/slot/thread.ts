/**
 * A slot that is a worker thread of this process: starts fast, can move buffers and share memory, and is stopped
 * by force unless it is inside a native call. It is no boundary: a native crash ends the whole program.
 */
import { Worker } from 'node:worker_threads'
import type { FromSlot, SlotKind, ToSlot } from './protocol.ts'
import { runnerFile } from './runner-file.ts'
import { type Slot, type SlotEvents, STDERR_TAIL } from './slot.ts'
import { fromWire, toWire } from './wire.ts'

/** A thread that is not gone this many milliseconds after `terminate` is stuck in a native call: we go on without it. */
const ABANDON_MS = 250

export function spawnThread(id: number, kind: SlotKind, events: SlotEvents): Slot {
  const worker = new Worker(runnerFile(), {
    env: kind.env,
    execArgv: [],
    // Output comes as messages (runner/output.ts). These streams are not read: that would keep the program alive.
    stdout: true,
    stderr: true,
    trackUnmanagedFds: true,
    ...(kind.memory === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: Math.ceil(kind.memory / 2 ** 20) } }),
  })
  let cause: unknown
  let signal: string | undefined
  let stderrTail = ''
  let over = false

  const exited = (exitCode: number | undefined): void => {
    if (over) return
    over = true
    const memory = (cause as { code?: string } | undefined)?.code === 'ERR_WORKER_OUT_OF_MEMORY'
    events.exited({ memory, signal, exitCode, stderrTail, ...(cause === undefined ? {} : { cause }) })
  }
  worker.on('message', (wire) => {
    if (over) return
    const message = fromWire(wire) as FromSlot
    if (message.type === 'signal') {
      signal = message.signal
      return
    }
    if (message.type === 'log' && message.stream === 'stderr')
      stderrTail = (stderrTail + message.text).slice(-STDERR_TAIL)
    events.message(message)
  })
  worker.on('error', (error) => {
    cause = error
  })
  worker.on('exit', exited)
  // What keeps the program alive is unfinished work (see LocalEngine), not an idle thread.
  worker.unref()

  return {
    label: `thread ${id}`,
    send(message: ToSlot, transfer) {
      if (!over) worker.postMessage(toWire(message), transfer)
    },
    kill() {
      const timer = setTimeout(() => exited(undefined), ABANDON_MS)
      timer.unref()
      worker.terminate().then(() => clearTimeout(timer))
    },
    close() {
      worker.postMessage({ type: 'close' } satisfies ToSlot)
    },
  }
}
