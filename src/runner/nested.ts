/**
 * The engine as a task sees it: the same interface as the owner's, spoken over the slot's wire. The owner
 * schedules nested work beside everything else, and a slot whose task only waits for it takes other work, so that
 * no depth of nesting can use up the slots.
 */
import { decode } from '../codec/index.ts'
import type { Engine, EngineJob, JobClient, TaskSpec } from '../engine/engine.ts'
import type { NestedToSlot } from '../slot/protocol.ts'
import { currentTask, type TaskContext } from './context.ts'
import type { Executor } from './executor.ts'
import type { Port } from './port.ts'

interface NestedJob {
  client: JobClient
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
    const job: NestedJob = { client, waiting: new Map() }
    this.#jobs.set(id, job)
    const { id: _, program, ...rest } = spec
    const { id: __, ...parts } = program
    this.#port.send({
      type: 'nested',
      message: { type: 'submit', job: id, spec: { ...rest, program: parts } },
    })
    return {
      add: (start, end, attempt) => {
        const context = currentTask()
        for (let index = start; index < end; index++) job.waiting.set(index, context)
        if (context) this.#executor.waiting(context, end - start)
        const { payload, skip } = client.arguments(start, end - start, true)
        this.#port.send({
          type: 'nested',
          message: { type: 'add', job: id, start, end, attempt, payload, skip },
        })
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
      case 'delivered':
        this.#answered(job, message.delivery.start, message.delivery.count)
        return job.client.delivered(message.delivery)
      case 'lost':
        this.#answered(job, message.start, message.count)
        return job.client.lost(message.start, message.count, decode(message.error) as Error)
      case 'log':
        return job.client.log(message.index, message.stream, message.text)
      case 'progress':
        return job.client.progressed(message.index, message.value)
    }
  }

  #answered(job: NestedJob, start: number, count: number): void {
    for (let index = start; index < start + count; index++) {
      const context = job.waiting.get(index)
      if (job.waiting.delete(index) && context) this.#executor.waiting(context, -1)
    }
  }

  #end(id: number, type: 'cancel' | 'forget'): void {
    const job = this.#jobs.get(id)
    if (!job) return
    this.#jobs.delete(id)
    for (const context of job.waiting.values()) if (context) this.#executor.waiting(context, -1)
    this.#port.send({ type: 'nested', message: { type, job: id } })
  }
}
