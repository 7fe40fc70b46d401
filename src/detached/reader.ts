/** Reads the outcomes of a detached job, those that are there and those that come. */

import { detached } from '../nats/detached.ts'
import { readPayload } from '../nats/messages.ts'
import type { Payload } from '../slot/protocol.ts'
import { Keeper } from './keeper.ts'
import { type Entry, isOver, type LogLine, readLog, readOutcomes } from './record.ts'
import { Settled } from './settled.ts'
import type { JobView, Store } from './store.ts'
import { scan } from './stream.ts'

/** What a driver says is looked for so often, in case that word of it was lost, milliseconds. */
const LOOK_MS = 1000
/** A replica may lag behind. */
const LAG_MS = 100

/** Outcomes that came together. */
export interface Lot {
  entry: Entry
  /** One element for each of `entry.count` tasks. */
  payload: Payload
  /** Offsets of the tasks whose outcome this is, and whether they failed. */
  offsets: { offset: number; failed: boolean }[]
}

export class OutcomeReader {
  readonly #store: Store
  readonly #id: string
  readonly #keeper: Keeper
  /** How the job was when all its outcomes had been read. */
  end: JobView | undefined

  constructor(store: Store, id: string) {
    this.#store = store
    this.#id = id
    this.#keeper = new Keeper(store.connection, id)
  }

  /**
   * Every outcome once, in the order in which they came, until the job is over.
   * @param wait also for those that are still to come
   * @throws JobError there is no such job (any more)
   */
  async *read(wait = true): AsyncGenerator<Lot, void, undefined> {
    const store = this.#store
    const changes = new Changes(store, this.#id)
    try {
      let view = await store.job(this.#id)
      const settled = new Settled(view.record.total, view.want.round)
      for (let next = 1; ; view = await store.job(this.#id)) {
        const { state, status } = view
        for await (const { data, sequence } of this.#scan(next)) {
          next = sequence + 1
          const outcomes = readOutcomes(data)
          if (!outcomes) continue
          const lots = outcomes.entries.map((): Lot['offsets'] => [])
          settled.take(outcomes, (entry, offset, failed) => lots[entry]?.push({ offset, failed }))
          for (const [at, entry] of outcomes.entries.entries()) {
            const offsets = lots[at] as Lot['offsets']
            if (offsets.length > 0) yield { entry, payload: await this.#payload(entry), offsets }
          }
        }
        if (!wait || (isOver(state) && next > (status?.end ?? 0))) {
          this.end = view
          if (isOver(state)) yield* this.#again(settled, status?.end ?? 0)
          return
        }
        if (isOver(state)) await new Promise((resolve) => setTimeout(resolve, LAG_MS))
        else await changes.next(LOOK_MS)
      }
    } finally {
      changes.end()
    }
  }

  /** Failures of an earlier round, for which no new outcome has come. */
  async *#again(settled: Settled, end: number): AsyncGenerator<Lot, void, undefined> {
    let next = 1
    while (settled.hasAgain) {
      for await (const { data, sequence } of this.#scan(next)) {
        next = sequence + 1
        for (const entry of readOutcomes(data)?.entries ?? []) {
          const ignored = new Set(entry.ignore)
          const offsets: Lot['offsets'] = []
          for (const offset of entry.failed) {
            const index = entry.start + offset
            if (ignored.has(offset) || !settled.isAgain(index)) continue
            settled.settle(index, true)
            offsets.push({ offset, failed: true })
          }
          if (offsets.length > 0) yield { entry, payload: await this.#payload(entry), offsets }
        }
      }
      if (next > end) return
      await new Promise((resolve) => setTimeout(resolve, LAG_MS))
      // Is it there still?
      await this.#store.job(this.#id)
    }
  }

  #scan(from: number) {
    const { connection } = this.#store
    return scan(connection, this.#store.stream('R'), detached.out(connection.pool, this.#id), from)
  }

  async #payload({ payload }: Entry): Promise<Payload> {
    return readPayload('inline' in payload ? payload.inline : await this.#keeper.get(payload.kept))
  }
}

/**
 * What the tasks of a job print, in the order in which it came.
 * @param follow also what is still to come, until the job is over
 */
export async function* readLogs(
  store: Store,
  id: string,
  follow = false,
): AsyncGenerator<LogLine, void, undefined> {
  const { connection } = store
  const changes = new Changes(store, id, detached.log(connection.pool, id))
  try {
    for (let next = 1; ; ) {
      const { state } = await store.job(id)
      const subject = detached.log(connection.pool, id)
      for await (const { data, sequence } of scan(connection, store.stream('L'), subject, next)) {
        next = sequence + 1
        yield* readLog(data) ?? []
      }
      if (!follow || isOver(state)) return
      await changes.next(LOOK_MS)
    }
  } finally {
    changes.end()
  }
}

/** Waits for the next change of a job. */
export class Changes {
  readonly #subscriptions: { unsubscribe(): void }[]
  #changed = false
  #wake: () => void = () => {}

  /** @param also another subject that is listened to */
  constructor({ connection }: Store, id: string, also?: string) {
    const { nc, pool } = connection
    const callback = (): void => {
      this.#changed = true
      this.#wake()
    }
    this.#subscriptions = [detached.jobs(pool, id), ...(also === undefined ? [] : [also])].map((subject) =>
      nc.subscribe(subject, { callback }),
    )
  }

  /** Resolves when there was a change since the last call, or after `ms` milliseconds. */
  async next(ms: number): Promise<void> {
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#changed = false
  }

  end(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
  }
}
