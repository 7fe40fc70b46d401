/**
 * What a task writes to stdout and stderr goes to its caller at once, attributed to the task. Node's own worker
 * stdio loses lines when a thread is busy or terminated, so the streams' `write` is replaced.
 */
import { currentTask } from './context.ts'
import type { Port } from './port.ts'

/** Bytes of output that one task may send; the rest is dropped with a note. */
const LIMIT = 1 << 20
/** Output is sent in pieces of about this many characters, or after a pause. */
const PIECE = 16_384
const PAUSE_MS = 10

interface Pending {
  stream: 'stdout' | 'stderr'
  chunk: number
  offset: number
  text: string
}

export function captureOutput(port: Port): { flush(): void } {
  let pending: Pending | undefined
  let timer: NodeJS.Timeout | undefined
  let lastFlush = 0
  let owner = ''
  let sent = 0

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    lastFlush = performance.now()
    if (!pending) return
    const { stream, chunk, offset, text } = pending
    pending = undefined
    port.send({ type: 'log', stream, text, chunk, offset })
  }

  const accept = (stream: Pending['stream'], text: string): void => {
    const context = currentTask()
    const chunk = context?.run.chunk ?? 0
    const offset = context?.offset ?? 0
    const key = `${chunk}:${offset}`
    if (key !== owner) {
      owner = key
      sent = 0
    }
    if (sent > LIMIT) return
    sent += text.length
    if (sent > LIMIT)
      text = `${text.slice(0, 256)}\n[dicomp: this task wrote more than ${LIMIT} characters; the rest is dropped]\n`
    if (pending && (pending.stream !== stream || pending.chunk !== chunk || pending.offset !== offset))
      flush()
    if (pending) pending.text += text
    else pending = { stream, chunk, offset, text }
    // The first line goes out at once, a flood in pieces. The clock decides, not only the timer: a busy task
    // never lets a timer run.
    if (pending.text.length >= PIECE || performance.now() - lastFlush > PAUSE_MS) flush()
    else timer ??= setTimeout(flush, PAUSE_MS)
  }

  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = ((data: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
      accept(name, typeof data === 'string' ? data : Buffer.from(data).toString())
      const callback = typeof encoding === 'function' ? encoding : done
      if (typeof callback === 'function') queueMicrotask(() => callback())
      return true
    }) as typeof process.stdout.write
  }
  process.on('exit', flush)
  return { flush }
}
