/** Detached jobs of a pool, as they are stored. */
import { BlobError, JobError } from '../errors.ts'
import { API_ERROR, ApiError, patiently, request } from '../nats/api.ts'
import type { Connection } from '../nats/connection.ts'
import { detached, type Kind, streamOfKind } from '../nats/detached.ts'
import {
  type DetachedState,
  isOver,
  type JobRecord,
  NO_WISH,
  readRecord,
  readStatus,
  readWant,
  type Status,
  type Want,
  write,
} from './record.ts'
import { last, type Stored, StoreError, scan, writeInsistently } from './stream.ts'

/** A job, all that is known of it. */
export interface JobView {
  id: string
  record: JobRecord
  want: Want
  /** Undefined until a driver has begun. */
  status: Status | undefined
  /** Number of the message with its status, 0 for none: it changes while a driver has the job, if the store has room. */
  sign: number
  state: DetachedState
}

/** A part of a job with its number in the stream; 0 where it is not there. */
export interface Numbered<T> {
  value: T
  sequence: number
}

/** Changes that others make at the same time are looked at again so many times. */
const CONFLICTS = 20
/** Both are said of messages that are gone, depending on where they were. */
const NOT_DELETED: readonly number[] = [API_ERROR.sequenceNotFound, API_ERROR.deleteFailed]

export class Store {
  readonly connection: Connection

  constructor(connection: Connection) {
    this.connection = connection
  }

  stream(kind: Kind): string {
    return streamOfKind(kind, this.connection.pool)
  }

  /** Stores a job whose pages are stored, and has it driven. */
  async submit(record: JobRecord): Promise<void> {
    await this.#stored(detached.record(this.connection.pool, record.id), write(record))
    await this.enqueue(record.id)
  }

  /** Whether it waits for a driver, or a driver has it. */
  async isQueued(id: string): Promise<boolean> {
    return (await this.#last('Q', detached.todo(this.connection.pool, id))) !== undefined
  }

  /** Some driver will look at the job. */
  async enqueue(id: string): Promise<void> {
    await this.#stored(detached.todo(this.connection.pool, id), new TextEncoder().encode(id))
  }

  /** @throws JobError there is no such job */
  async job(id: string): Promise<JobView> {
    const view = await this.find(id)
    if (view) return view
    throw new JobError(
      `There is no job "${id.slice(0, 80)}" in the pool ${this.connection.pool} (any more)`,
      '`dicomp jobs` lists those that there are',
    )
  }

  async find(id: string): Promise<JobView | undefined> {
    if (!/^[\w-]{1,64}$/.test(id)) return undefined
    const { pool } = this.connection
    const subjects = [detached.record(pool, id), detached.want(pool, id), detached.state(pool, id)]
    const [record, want, state] = await Promise.all(subjects.map((subject) => this.#last('J', subject)))
    return viewOf(id, { record, want, state })
  }

  /** All jobs, the latest last. The newest changes may be missing. */
  async list(): Promise<JobView[]> {
    const { pool } = this.connection
    const parts = new Map<string, Parts>()
    for await (const message of scan(this.connection, this.stream('J'), detached.jobs(pool, '*'))) {
      const [, , , job = '', part = ''] = message.subject.split('.')
      parts.set(job, { ...parts.get(job), [part]: message })
    }
    return [...parts]
      .flatMap(([id, found]) => viewOf(id, found) ?? [])
      .sort((a, b) => a.record.submittedAt - b.record.submittedAt)
  }

  async want(id: string): Promise<Numbered<Want>> {
    const { pool } = this.connection
    const message = await this.#last('J', detached.want(pool, id))
    return { value: (message && readWant(message.data)) || NO_WISH, sequence: message?.sequence ?? 0 }
  }

  async status(id: string): Promise<Numbered<Status | undefined>> {
    const { pool } = this.connection
    const message = await this.#last('J', detached.state(pool, id))
    return { value: message && readStatus(message.data), sequence: message?.sequence ?? 0 }
  }

  async record(id: string): Promise<JobRecord | undefined> {
    const { pool } = this.connection
    const message = await this.#last('J', detached.record(pool, id))
    return message && readRecord(message.data)
  }

  /** Ends a job; nothing happens to one that is over. */
  async cancel(id: string): Promise<JobView> {
    const view = await this.job(id)
    if (isOver(view.state) || view.want.cancel) return view
    await this.#change(id, (want) => ({ ...want, cancel: true }))
    // A driver that has it hears of it; one that has not takes it and sees it.
    return this.job(id)
  }

  /**
   * Runs the tasks again that have no result: those that failed, and what a cancelled job had not begun.
   * @throws JobError it is not over, or has all its results
   */
  async retry(id: string): Promise<JobView> {
    const { state, record, status } = await this.job(id)
    if (!isOver(state))
      throw new JobError(
        `The job ${id} is ${state}: only one that is over can be tried again`,
        'wait for its end',
      )
    if (status?.done === record.total)
      throw new JobError(`No task of the job ${id} has failed`, `read its results: dicomp results ${id}`)
    await this.#change(id, ({ round }) => ({ cancel: false, round: Math.max(round, status?.round ?? 0) + 1 }))
    await this.enqueue(id)
    return this.job(id)
  }

  /** Removes all of a job. A driver that has it stops. */
  async remove(id: string): Promise<void> {
    const view = await this.find(id)
    if (view && !isOver(view.state)) await this.#change(id, (want) => ({ ...want, cancel: true }))
    await this.#dequeue(id)
    await this.purge(id)
  }

  /** Removes what is stored of a job, but its place in the queue. */
  async purge(id: string): Promise<void> {
    const { pool } = this.connection
    await this.#purge('J', detached.jobs(pool, id))
    await this.#purge('R', detached.results(pool, id))
    await this.#purge('L', detached.log(pool, id))
  }

  /** Drivers that wait for work, and jobs that no driver has taken yet. */
  async drivers(): Promise<{ idle: number; driven: number; untaken: number }> {
    const info = await request<{ num_waiting: number; num_ack_pending: number; num_pending: number }>(
      this.connection,
      `CONSUMER.INFO.${this.stream('Q')}.drive`,
    )
    return { idle: info.num_waiting, driven: info.num_ack_pending, untaken: info.num_pending }
  }

  #last(kind: Kind, subject: string): Promise<Stored | undefined> {
    return last(this.connection, this.stream(kind), subject)
  }

  async #change(id: string, change: (want: Want) => Want): Promise<void> {
    const subject = detached.want(this.connection.pool, id)
    for (let attempt = 1; ; attempt++) {
      const { value, sequence } = await this.want(id)
      try {
        await writeInsistently(this.connection, subject, write(change(value)), { after: sequence })
        return
      } catch (error) {
        const conflict = error instanceof StoreError && error.code === API_ERROR.wrongLastSequence
        if (!conflict || attempt > CONFLICTS) throw explain(error)
      }
    }
  }

  async #stored(subject: string, data: Uint8Array): Promise<void> {
    try {
      await writeInsistently(this.connection, subject, data)
    } catch (error) {
      throw explain(error)
    }
  }

  /**
   * Not by a purge: when nats-server (2.15.1) purges a message that a driver has, the next acknowledgement counts for
   * those that were given out before it as well. They are never given out again, and if their driver dies, their jobs
   * stand still.
   */
  async #dequeue(id: string): Promise<void> {
    const message = await this.#last('Q', detached.todo(this.connection.pool, id))
    if (!message) return
    const path = `STREAM.MSG.DELETE.${this.stream('Q')}`
    try {
      await patiently(this.connection, () =>
        request(this.connection, path, { seq: message.sequence, no_erase: true }),
      )
    } catch (error) {
      // A driver was quicker; or the next one finds that there is no such job.
      if (!(error instanceof ApiError && NOT_DELETED.includes(error.code))) throw error
    }
  }

  async #purge(kind: Exclude<Kind, 'Q'>, filter: string): Promise<void> {
    await this.connection.untilUp()
    const purge = () => request(this.connection, `STREAM.PURGE.${this.stream(kind)}`, { filter })
    await patiently(this.connection, purge)
  }
}

interface Parts {
  record?: Stored | undefined
  want?: Stored | undefined
  state?: Stored | undefined
}

function viewOf(id: string, parts: Parts): JobView | undefined {
  const record = parts.record && readRecord(parts.record.data)
  if (record?.id !== id) return undefined
  const want = (parts.want && readWant(parts.want.data)) || NO_WISH
  const status = parts.state && readStatus(parts.state.data)
  return { id, record, want, status, sign: parts.state?.sequence ?? 0, state: stateOf(want, status) }
}

export function stateOf(want: Want, status: Status | undefined): DetachedState {
  const current = status && status.round >= want.round ? status.state : undefined
  if (current && isOver(current)) return current
  return want.cancel ? 'cancelling' : (current ?? 'queued')
}

/** What the server refuses, in our words. */
export function explain(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error
  return error.full
    ? new BlobError(`The store of detached jobs is full (${error.message})`, {
        code: 'DICOMP_E_STORE_FULL',
        fix: 'remove jobs that are over (`dicomp rm`), or give the server more disk',
        cause: error,
      })
    : new BlobError(`The store of detached jobs refuses: ${error.message}`, {
        fix: 'see the log of the nats-server',
        cause: error,
      })
}
