/** Which task is running: for `task.*`, for the attribution of output, and for nested calls. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { RunMessage } from '../slot/protocol.ts'

export interface TaskContext {
  run: RunMessage
  /** Offset of the task within its chunk. */
  offset: number
  controller: AbortController | undefined
  /** Nested calls that have no answer yet. */
  pending: number
}

const storage = new AsyncLocalStorage<TaskContext>()
let current: TaskContext | undefined

/** The task that is running, seen from anywhere inside it; undefined outside of any task. */
export const currentTask = (): TaskContext | undefined => storage.getStore() ?? current

/** The asynchronous task on whose behalf the code runs; unlike `currentTask`, never a guess. */
export const awaitingTask = (): TaskContext | undefined => storage.getStore()

/**
 * Runs the body of a task. Functions known to be asynchronous run inside AsyncLocalStorage, since others may run
 * while they wait; for the rest a variable does, which costs nothing.
 */
export function runInTask<T>(context: TaskContext, asynchronous: boolean, body: () => T): T {
  current = context
  return asynchronous ? storage.run(context, body) : body()
}

/** Runs what concerns a task that waits, for example the output of its nested tasks. */
export function onBehalfOf<T>(context: TaskContext | undefined, body: () => T): T {
  return context ? storage.run(context, body) : body()
}

/** Runs what concerns no task, although a task set it off. */
export function outsideTasks<T>(body: () => T): T {
  return storage.exit(body)
}

export function leaveTask(context: TaskContext): void {
  if (current === context) current = undefined
}
