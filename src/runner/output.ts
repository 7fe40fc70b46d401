/**
 * What a task writes to stdout and stderr goes to its caller at once, attributed to the task. Node's own worker
 * stdio loses lines when a thread is busy or terminated, so the streams' `write` is replaced.
 */
import { StringDecoder } from 'node:string_decoder'
import { OutputGate } from '../slot/output-gate.ts'
import { currentTask } from './context.ts'
import type { Port } from './port.ts'

export function captureOutput(port: Port): { flush(): void } {
  const gate = new OutputGate((piece) => port.send({ type: 'log', ...piece }))
  for (const name of ['stdout', 'stderr'] as const) {
    // A character may be cut in two writes.
    const decoder = new StringDecoder('utf8')
    process[name].write = ((data: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
      const context = currentTask()
      const text = typeof data === 'string' ? data : decoder.write(data as Buffer)
      if (text !== '') gate.write(name, context?.run.chunk ?? 0, context?.offset ?? 0, text)
      const callback = typeof encoding === 'function' ? encoding : done
      if (typeof callback === 'function') queueMicrotask(() => callback())
      return true
    }) as typeof process.stdout.write
  }
  process.on('exit', () => gate.flush())
  return { flush: () => gate.flush() }
}
