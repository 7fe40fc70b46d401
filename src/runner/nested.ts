/**
 * The engine as a task sees it: the same interface as the owner's, spoken over the slot's wire. The owner
 * schedules nested work beside everything else, and a slot whose task only waits for it takes other work, so that
 * no depth of nesting can use up the slots.
 */
import { decode } from '../codec/index.ts'
import type { Engine, EngineJob, JobClient, TaskSpec } from '../engine/engine.ts'
import { CancelledError } from '../errors.ts'
import type { NestedToSlot } from '../slot/protocol.ts'
import { awaitingTask, currentTask, onBehalfOf, type TaskContext } from './context.ts'
import type { Executor } from './executor.ts'
import type { Port } from './port.ts'

interface NestedJob {
  client: JobClient
  /** Who submitted it: for tasks that are added when others of the job have ended. */
  owner: TaskContext | undefined
  /** Tasks in the owner's hands, and the task of this slot that waits for each. */
  waiting: Map<number, TaskContext | undefined>
}

export class NestedEngine implements Engine {
  /** As many as the owner has is not known here; it only bounds how far a stream reads ahead. */
  readonly slots = 4
  readonly #port: Port
  readonly #executor: Executor
  readonly #jobs = new Map<number, NestedJob>()
  #next = 1

  constructor(port: Port, executor: Executor) {
    this.#port = port
    this.#executor = executor
  }

  warm(): void {}

  submit(spec: TaskSpec, client: JobClient): EngineJob {
    const id = this.#next++
    const job: NestedJob = { client, owner: currentTask(), waiting: new Map() }
    this.#jobs.set(id, job)
    const { program, ...rest } = spec
    const { id: _, ...parts } = program
    this.#port.send({
      type: 'nested',
      message: { type: 'submit', job: id, spec: { ...rest, program: parts } },
    })
    const asked = new Map<number, TaskContext | undefined>()
    return {
      asked: (index) => asked.set(index, currentTask()),
      add: (start, end, attempt) => {
        const current = awaitingTask() ?? job.owner
        const more = new Map<TaskContext, number>()
        for (let index = start; index < end; index++) {
          // The task that waits for a repeated one has never ceased to wait.
          if (job.waiting.has(index)) continue
          const context = asked.get(index) ?? current
          asked.delete(index)
          job.waiting.set(index, context)
          if (context) more.set(context, (more.get(context) ?? 0) + 1)
        }
        for (const [context, count] of more) this.#executor.waiting(context, count)
        const { payload, skip } = client.arguments(start, end - start, true)
        this.#port.send({
          type: 'nested',
          message: { type: 'add', job: id, start, end, attempt, payload, skip },
        })
      },
      drop: (start, end) => {
        for (let index = start; index < end; index++) this.#answered(job, index)
        this.#port.send({ type: 'nested', message: { type: 'drop', job: id, start, end } })
      },
      cancel: () => this.#end(id, 'cancel'),
      forget: () => this.#end(id, 'forget'),
      snapshot: () => ({ queued: 0, running: job.waiting.size, slots: 0 }),
    }
  }

  async close(): Promise<void> {}

  receive(message: NestedToSlot): void {
    const job = this.#jobs.get(message.job)
    if (!job) return
    switch (message.type) {
      case 'delivered': {
        const { start, count } = message.delivery
        job.client.delivered(message.delivery)
        for (let index = start; index < start + count; index++) this.#answered(job, index)
        return
      }
      case 'lost': {
        const { start, count, attempt } = message
        const indexes = count === Infinity ? [...job.waiting.keys()] : undefined
        job.client.lost(start, count, decode(message.error) as Error, attempt)
        for (let at = 0; at < (indexes?.length ?? count); at++)
          this.#answered(job, indexes?.[at] ?? start + at)
        return
      }
      case 'log': {
        const { index, stream, text } = message
        return onBehalfOf(job.waiting.get(index), () => job.client.log(index, stream, text))
      }
      case 'progress': {
        const { index, value } = message
        return onBehalfOf(job.waiting.get(index), () => job.client.progressed(index, value))
      }
    }
  }

  /** A task is to end: what it waits for is cancelled, so that it can. */
  abort(chunk: number, reason: string): void {
    for (const [id, job] of this.#jobs) {
      for (const [index, context] of job.waiting) {
        if (context?.run.chunk !== chunk) continue
        job.client.lost(index, 1, new CancelledError(reason))
        this.#answered(job, index)
        this.#port.send({ type: 'nested', message: { type: 'drop', job: id, start: index, end: index + 1 } })
      }
    }
  }

  /** The task has an answer; whoever waited goes on, unless it will be tried again. */
  #answered(job: NestedJob, index: number): void {
    if (job.client.retries(index)) return
    const context = job.waiting.get(index)
    if (job.waiting.delete(index) && context) this.#executor.waiting(context, -1)
  }

  #end(id: number, type: 'cancel' | 'forget'): void {
    const job = this.#jobs.get(id)
    if (!job) return
    this.#jobs.delete(id)
    for (const context of job.waiting.values()) if (context) this.#executor.waiting(context, -1)
    job.waiting.clear()
    this.#port.send({ type: 'nested', message: { type, job: id } })
  }
}
