/**
 * A driver: takes detached jobs from their queue and does for each what the user's process does for others. Any number
 * of them may run, anywhere; a job whose driver dies is given to another one when its lease has run out.
 */
import type { Msg } from '@nats-io/transport-node'
import { NatsEngine } from '../engine/nats/engine.ts'
import { type Connection, openConnection } from '../nats/connection.ts'
import { DRIVE, DRIVE_RENEW_MS, detached, streamOfKind } from '../nats/detached.ts'
import { type Link, parseLink } from '../nats/link.ts'
import { inboxOf, newIdentity } from '../nats/subjects.ts'
import { Drive, type DriveEnd } from './drive.ts'
import { isOver } from './record.ts'
import { type JobView, Store } from './store.ts'

/** Jobs at the same time. */
const MOST_JOBS = 100
const PULL_MS = 20_000
/** An answer that is this late does not come any more. */
const LATE_MS = 2000
const PAUSE_MS = 1000
/** How often what users want is looked for, in case that word of it was lost. */
const LOOK_MS = 5000
const SWEEP_MS = 120_000
/** Sweeps read what is stored of all jobs: they take no more than this part of the time, within reason. */
const SWEEP_SHARE = 0.01
const MOST_PAUSES = 5
const SIGNS_PER_SWEEP = 3
const NS_PER_MS = 1e6

export type DriverEvent =
  | { type: 'took'; job: string }
  | { type: 'ended'; job: string; how: DriveEnd }
  | { type: 'removed'; job: string }
  /** It goes on by itself, unless it is `closed`. */
  | { type: 'trouble'; error: Error; job?: string }

export interface DriverOptions {
  onEvent?: (event: DriverEvent) => void
  /**
   * How often it looks for jobs that nobody has, and for those whose results have waited long enough, milliseconds. The
   * same for all drivers of a pool: jobs give a sign of life three times as often.
   * @default 120,000
   */
  sweepMs?: number
}

interface Held {
  drive: Drive
  /** Where it is acknowledged. */
  ack: string
  /** It came once more: its lease had run out, or it was submitted again while its end was being stored. */
  next: string
  ended: Promise<void>
}

export class Driver {
  readonly #connection: Connection
  readonly #engine: NatsEngine
  readonly #store: Store
  readonly #onEvent: (event: DriverEvent) => void
  readonly #held = new Map<string, Held>()
  readonly #timers: NodeJS.Timeout[] = []
  readonly #sweepMs: number
  #nextSweep: NodeJS.Timeout | undefined
  /** Signs of life of jobs that somebody should have, as they were at the last sweep. */
  #signs = new Map<string, number>()
  #programs = 0
  #stopping = false
  #wake: () => void = () => {}
  #pulling: Promise<void>

  /**
   * Connects, and takes jobs until it is stopped.
   * @throws LinkError, ConnectError
   */
  static async start(link: string | Link, options: DriverOptions = {}): Promise<Driver> {
    const parsed = typeof link === 'string' ? parseLink(link) : link
    const identity = newIdentity(parsed.name ?? parsed.user)
    const connection = await openConnection(parsed, { role: 'client', identity })
    try {
      return new Driver(connection, await NatsEngine.open(parsed), options)
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  private constructor(connection: Connection, engine: NatsEngine, options: DriverOptions) {
    const { onEvent = () => {}, sweepMs = SWEEP_MS } = options
    this.#connection = connection
    this.#engine = engine
    this.#store = new Store(connection)
    this.#onEvent = onEvent
    this.#sweepMs = sweepMs
    const wants = detached.want(connection.pool, '*')
    connection.nc.subscribe(wants, {
      callback: (_, message) => this.#look(message?.subject.split('.')[3]),
    })
    this.#every(DRIVE_RENEW_MS, () => {
      for (const { ack, next } of this.#held.values())
        for (const each of [ack, next]) this.#answer(each, '+WPI')
    })
    this.#every(LOOK_MS, () => {
      for (const id of this.#held.keys()) this.#look(id)
    })
    connection.onStatus(() => this.#wake())
    void connection.closed.then((error) => {
      if (error && !this.#stopping) onEvent({ type: 'trouble', error })
    })
    this.#pulling = this.#pull()
    void this.#sweep()
  }

  /** Jobs that it drives. */
  get jobs(): string[] {
    return [...this.#held.keys()]
  }

  /** Resolves when the server does not take it any more, with why; undefined when it was stopped. */
  get closed(): Promise<Error | undefined> {
    return this.#connection.closed
  }

  /** Gives its jobs to other drivers. What their tasks are doing now is done again. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#nextSweep)
    this.#wake()
    for (const { drive } of this.#held.values()) drive.stop()
    await Promise.all([...this.#held.values()].map(({ ended }) => ended))
    await this.#pulling
    await this.#engine.close()
    await this.#connection.close()
  }

  // ---- jobs ---------------------------------------------------------------------------------------------

  async #pull(): Promise<void> {
    while (!this.#stopping && !this.#connection.nc.isClosed()) {
      try {
        await this.#connection.untilUp()
        if (this.#held.size >= MOST_JOBS) await this.#pause(PAUSE_MS)
        else {
          const message = await this.#next()
          if (message) this.#take(message)
        }
      } catch (error) {
        if (this.#stopping || this.#connection.nc.isClosed()) return
        this.#onEvent({ type: 'trouble', error: error as Error })
        await this.#pause(PAUSE_MS)
      }
    }
  }

  /** The next job of the queue; undefined when none has come. */
  #next(): Promise<Msg | undefined> {
    const { nc, pool, identity } = this.#connection
    const inbox = `${inboxOf(identity)}.drive`
    return new Promise((resolve, reject) => {
      const end = (message: Msg | undefined, error?: Error) => {
        clearTimeout(timer)
        this.#wake = () => {}
        subscription.unsubscribe()
        if (error) reject(error)
        else resolve(message)
      }
      const subscription = nc.subscribe(inbox, {
        callback: (error, message) => {
          if (error) return end(undefined, error)
          const code = message.headers?.code ?? 0
          if (code === 0) end(message)
          else if (code === 404 || code === 408 || code === 409) end(undefined)
          else
            end(
              undefined,
              new Error('the queue of detached jobs is not there; a node or `dicomp up` makes it'),
            )
        },
      })
      const timer = setTimeout(() => end(undefined), PULL_MS + LATE_MS)
      this.#wake = () => end(undefined)
      const body = JSON.stringify({ batch: 1, expires: PULL_MS * NS_PER_MS })
      nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${streamOfKind('Q', pool)}.${DRIVE}`, body, { reply: inbox })
    })
  }

  #take({ subject, reply = '' }: Msg): void {
    const id = subject.split('.')[3] ?? ''
    const before = this.#held.get(id)
    if (before) {
      before.next = reply
      return
    }
    const drive = new Drive(id, {
      store: this.#store,
      engine: this.#engine,
      program: ++this.#programs,
      signMs: this.#sweepMs / SIGNS_PER_SWEEP,
    })
    const held: Held = { drive, ack: reply, next: '', ended: Promise.resolve() }
    this.#held.set(id, held)
    this.#onEvent({ type: 'took', job: id })
    held.ended = this.#drive(id, held)
  }

  async #drive(id: string, held: Held): Promise<void> {
    try {
      const how = await held.drive.run()
      this.#onEvent({ type: 'ended', job: id, how })
      // Whoever fenced it off has these messages too.
      if (how === 'left') held.ack = held.next = ''
      this.#answer(held.ack, how === 'stopped' ? '-NAK' : '+ACK')
    } catch (error) {
      this.#onEvent({ type: 'trouble', error: error as Error, job: id })
      if (!this.#stopping) await this.#pause(PAUSE_MS)
      this.#answer(held.ack, '-NAK')
    }
    this.#held.delete(id)
    this.#answer(held.next, '-NAK')
    await this.#connection.nc.flush().catch(() => {})
  }

  #answer(ack: string, text: string): void {
    const { nc, up } = this.#connection
    if (up && !nc.isClosed() && ack !== '') nc.publish(ack, text)
  }

  #look(id: string | undefined): void {
    const held = this.#held.get(id ?? '')
    held?.drive.look().catch((error) => this.#onEvent({ type: 'trouble', error, job: id ?? '' }))
  }

  // ---- at times -----------------------------------------------------------------------------------------

  /** Removes what has waited long enough, and finds jobs that nobody has. */
  async #sweep(): Promise<void> {
    let took = 0
    try {
      await this.#connection.untilUp()
      const began = performance.now()
      await this.#sweepNow()
      took = performance.now() - began
    } catch (error) {
      if (!this.#stopping) this.#onEvent({ type: 'trouble', error: error as Error })
    }
    if (this.#stopping) return
    const pause = Math.min(Math.max(took / SWEEP_SHARE, this.#sweepMs), MOST_PAUSES * this.#sweepMs)
    this.#nextSweep = setTimeout(() => void this.#sweep(), pause)
  }

  async #sweepNow(): Promise<void> {
    const views = await this.#store.list()
    // Before anything is written: this makes room.
    for (const { id } of views.filter(isExpired)) {
      if (this.#stopping) return
      const now = await this.#store.find(id)
      if (!now || !isExpired(now)) continue
      await this.#store.remove(id)
      this.#onEvent({ type: 'removed', job: id })
    }
    const before = this.#signs
    this.#signs = new Map()
    const { untaken } = await this.#store.drivers()
    for (const { id, state, sign } of views) {
      if (this.#stopping) return
      if (isOver(state) || this.#held.has(id)) continue
      this.#signs.set(id, sign)
      const waits = this.#held.size >= MOST_JOBS || (sign === 0 && untaken > 0)
      const still = before.get(id) === sign && !waits
      if (!still && (await this.#store.isQueued(id))) continue
      // It may have been taken meanwhile.
      if ((await this.#store.find(id))?.sign === sign) await this.#store.enqueue(id)
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      if (this.#stopping) {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms))
  }
}

/** Its results have waited for as long as they have to. */
const isExpired = ({ state, status, record }: JobView): boolean =>
  isOver(state) && (status?.endedAt ?? 0) + record.keepMs <= Date.now()
