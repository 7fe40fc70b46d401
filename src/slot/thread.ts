/**
 * A slot that is a worker thread of this process: starts fast, can move buffers and share memory, and is stopped
 * by force unless it is inside a native call. It is no boundary: a native crash ends the whole program.
 */
import { Worker } from 'node:worker_threads'
import { decode } from '../codec/index.ts'
import { slotEnvironment } from './environment.ts'
import { heapMegabytes, MemoryWatch } from './memory.ts'
import type { FromSlot, SlotKind, ToSlot } from './protocol.ts'
import { runnerFile } from './runner-file.ts'
import { type Slot, type SlotEvents, tailOf } from './slot.ts'
import { fromWire, isFromSlot, toWire } from './wire.ts'

/** A thread that is not gone this many milliseconds after `terminate` is stuck in a native call: we go on without it. */
const ABANDON_MS = 250
/** An idle thread that is asked to end has this long, milliseconds. */
const CLOSE_MS = 1000

export function spawnThread(id: number, kind: SlotKind, slots: number, events: SlotEvents): Slot {
  const worker = new Worker(runnerFile(), {
    env: slotEnvironment(kind.env),
    execArgv: [],
    // Output comes as messages (runner/output.ts). These streams are not read: that would keep the program alive.
    stdout: true,
    stderr: true,
    trackUnmanagedFds: true,
    workerData: { memory: kind.memory },
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes(kind.memory, slots) },
  })
  const label = `thread ${id}`
  let cause: { error: unknown } | undefined
  let signal: string | undefined
  let memory = false
  let stderrTail = ''
  let over = false
  const exited = (exitCode: number | undefined): void => {
    if (over) return
    over = true
    watch?.stop()
    events.exited({
      memory: memory || codeOf(cause?.error) === 'ERR_WORKER_OUT_OF_MEMORY',
      signal,
      exitCode: signal === undefined ? exitCode : undefined,
      stderrTail,
      ...(cause ? { cause: cause.error } : {}),
    })
  }
  const kill = (): void => {
    const timer = setTimeout(() => {
      if (over) return
      process.emitWarning(
        `${label} is stuck in a native call and cannot be stopped; this program goes on without it, but cannot ` +
          "end before that call does. isolation: 'process' has no such limit.",
        { code: 'DICOMP_W_STUCK_THREAD' },
      )
      exited(undefined)
    }, ABANDON_MS)
    worker.terminate().then(() => clearTimeout(timer))
  }

  const { memory: limit } = kind
  const outgrown = (): void => {
    memory = true
    kill()
  }
  const watch = limit === undefined ? undefined : new MemoryWatch(limit, () => heapBytes(worker), outgrown)

  worker.on('message', (wire) => {
    // A library that takes itself for the thread's own code may post anything.
    if (over || !isFromSlot(wire)) return
    const message = fromWire(wire) as FromSlot
    if (message.type === 'signal') signal = message.signal
    else if (message.type === 'uncaught') cause = { error: decode(message.error) }
    else {
      if (message.type === 'log' && message.stream === 'stderr') stderrTail = tailOf(stderrTail, message.text)
      if (message.type === 'done' && message.last) {
        watch?.end()
        stderrTail = ''
      }
      events.message(message)
    }
  })
  worker.on('error', (error) => {
    cause ??= { error }
  })
  worker.on('exit', exited)
  // What keeps the program alive is unfinished work (see LocalEngine), not an idle thread.
  worker.unref()

  return {
    label,
    send(message: ToSlot, transfer) {
      if (over) return
      if (message.type === 'run') watch?.begin()
      worker.postMessage(toWire(message), transfer)
    },
    kill,
    close() {
      if (over) return
      worker.postMessage({ type: 'close' } satisfies ToSlot)
      setTimeout(() => over || kill(), CLOSE_MS).unref()
    },
  }
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null | undefined)?.code

/** Heap and buffers of a thread in bytes. Node.js tells from 22.16 on; before, only the heap itself is limited. */
async function heapBytes(worker: Worker): Promise<number | undefined> {
  const { getHeapStatistics } = worker as {
    getHeapStatistics?: () => Promise<{ used_heap_size: number; external_memory: number }>
  }
  try {
    const heap = await getHeapStatistics?.call(worker)
    return heap && heap.used_heap_size + heap.external_memory
  } catch {
    return undefined
  }
}
