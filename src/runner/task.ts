/** `task`, as code inside a slot sees it. */
import { encode } from '../codec/index.ts'
import type { TaskApi } from '../task.ts'
import { currentTask, type TaskContext } from './context.ts'
import type { Port } from './port.ts'

export function createTask(port: Port): TaskApi {
  const here = (): TaskContext => {
    const context = currentTask()
    if (!context) throw new Error('`task` was used outside of a task')
    return context
  }
  return {
    get attempt() {
      return here().run.attempt
    },
    get index() {
      const { run, offset } = here()
      return run.start + offset
    },
    get jobId() {
      return here().run.job
    },
    get signal() {
      const context = here()
      context.controller ??= new AbortController()
      return context.controller.signal
    },
    progress(value) {
      const { run, offset } = here()
      port.send({ type: 'progress', chunk: run.chunk, offset, value: encode(value, { path: 'progress' }) })
    },
    log(...values) {
      console.log(...values)
    },
  }
}
