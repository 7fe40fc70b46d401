/**
 * A simulated cluster around the ledger: a queue that forgets, a network that loses, repeats and reorders, nodes that
 * die, stall and wake. Time is simulated; all randomness comes from one seed.
 */
import { Ledger } from '../../src/core/ledger.ts'
import type { LedgerAction, LedgerChunk, LedgerEvent, LedgerJobSpec } from '../../src/core/ledger-state.ts'

export interface Faults {
  /** Probability that a message is lost, or comes twice. */
  loss: number
  twice: number
  /** Most milliseconds that a message takes. */
  delay: number
}

export interface SimNode {
  id: string
  slots: number
  /** How many times slower than others. */
  slow: number
  state: 'working' | 'stalled' | 'dead'
  held: Map<number, SimChunk>
  /** Messages that came while it was stalled. */
  inbox: (() => void)[]
}

interface SimChunk {
  job: number
  id: number
  node: SimNode
  open: number[]
  next: number
  running: boolean
  /** Results that are not in a report yet. */
  done: number[]
  reports: { start: number; count: number; last: boolean; executions: Map<number, number> }[]
  confirmed: Set<number>
  finished: boolean
  place: Place
  executions: Map<number, number>
}

/** A message in the queue. */
interface Place {
  job: number
  chunk: number
  tasks: number[]
  lease: number
}

const HEARTBEAT_MS = 700
const LOST_AFTER_MS = 2100
const ACK_WAIT_MS = 15_000
const RESEND_MS = 1000
const TICK_MS = 250

export class LedgerWorld {
  readonly ledger = new Ledger({
    targetMs: 25,
    longTargetMs: 100,
    inlineBytes: 256 << 10,
    pubAckMs: 2000,
  })
  readonly faults: Faults
  readonly nodes: SimNode[] = []
  /** `job:index` → outcomes of all its adds. */
  readonly delivered = new Map<string, number>()
  readonly adds = new Map<string, number>()
  readonly given = new Set<string>()
  executions = 0
  mostInFlight = 0
  now = 0
  settled = 0
  expected = 0
  /** Tasks take this many milliseconds. */
  duration = 5
  /** The first execution of a task fails, and it is added again. */
  failing: (index: number) => boolean = () => false
  readonly #random: () => number
  #events: { at: number; turn: number; run(): void }[] = []
  #turn = 0
  #queue: Place[] = []
  #seen = new Map<string, number>()
  #connected = true
  /** When the current add of a task was made: executions that began before must not count for it. */
  readonly #addedAt = new Map<string, number>()
  readonly #cancelled = new Set<number>()

  constructor(seed: number, faults: Faults = { loss: 0, twice: 0, delay: 1 }) {
    this.faults = faults
    let state = seed | 0 || 1
    this.#random = () => {
      state = (Math.imul(state ^ (state >>> 15), 1 | state) + 0x6d2b79f5) | 0
      const mixed = state ^ (state + Math.imul(state ^ (state >>> 7), 61 | state))
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
    }
    this.#every(TICK_MS, () => this.#tick())
  }

  at(ms: number, run: () => void): void {
    this.#events.push({ at: ms, turn: this.#turn++, run })
  }

  addNode(slots: number, slow = 1): SimNode {
    const id = `node${this.nodes.length}`
    const node: SimNode = { id, slots, slow, state: 'working', held: new Map(), inbox: [] }
    this.nodes.push(node)
    const beat = (): void => {
      if (node.state === 'working') {
        const chunks = [...node.held.values()].map(({ job, id }) => [job, id] as [number, number])
        this.#net(() => this.#heartbeat(node, chunks))
        for (const chunk of node.held.values()) this.#resend(chunk)
        for (const { place } of node.held.values()) place.lease = this.now + ACK_WAIT_MS
        this.#pull(node)
      }
      if (node.state !== 'dead') this.at(this.now + HEARTBEAT_MS, beat)
    }
    this.at(this.now, beat)
    return node
  }

  kill(node: SimNode): void {
    node.state = 'dead'
    node.held.clear()
  }

  stall(node: SimNode, ms: number): void {
    if (node.state !== 'working') return
    node.state = 'stalled'
    this.at(this.now + ms, () => {
      if (node.state !== 'stalled') return
      node.state = 'working'
      for (const receive of node.inbox.splice(0)) receive()
      for (const chunk of node.held.values()) this.#run(chunk)
      this.#pull(node)
    })
  }

  /** The server restarts: what is queued is gone, and nobody hears anybody meanwhile. */
  restartServer(ms: number): void {
    if (!this.#connected) return
    this.#connected = false
    this.#queue = []
    this.handle({ type: 'disconnected' })
    this.at(this.now + ms, () => {
      this.#connected = true
      for (const id of this.#seen.keys()) this.#seen.set(id, this.now)
      this.handle({ type: 'reconnected', fresh: true })
    })
  }

  job(spec: Partial<LedgerJobSpec> & { id: number }, count: number): void {
    this.handle({
      type: 'job',
      spec: { need: 'any', priority: 0, cap: 1000, solo: false, concurrency: Infinity, ...spec },
    })
    this.handle({ type: 'ready', job: spec.id })
    this.add(spec.id, 0, count, 1)
  }

  add(job: number, start: number, end: number, attempt: number): void {
    for (let index = start; index < end; index++) {
      const key = `${job}:${index}`
      this.adds.set(key, (this.adds.get(key) ?? 0) + 1)
      this.#addedAt.set(key, this.executions)
    }
    this.expected += end - start
    this.handle({ type: 'tasks', job, start, end, attempt })
  }

  cancel(job: number): void {
    if (this.#cancelled.has(job)) return
    this.#cancelled.add(job)
    for (const [key, adds] of this.adds) {
      if (key.startsWith(`${job}:`)) this.expected -= adds - (this.delivered.get(key) ?? 0)
    }
    this.handle({ type: 'forget', job })
  }

  drop(job: number, start: number, end: number): void {
    for (let index = start; index < end; index++) {
      const key = `${job}:${index}`
      this.expected -= (this.adds.get(key) ?? 0) - (this.delivered.get(key) ?? 0)
      this.adds.set(key, this.delivered.get(key) ?? 0)
    }
    this.handle({ type: 'drop', job, start, end })
  }

  /** Until all is settled. Throws when that takes longer than `limit` simulated milliseconds. */
  run(limit = 3_600_000): void {
    for (;;) {
      if (this.settled >= this.expected && this.ledger.inFlight === 0) return
      const next = this.#next()
      if (next.at > limit) throw new Error(`not done after ${limit} ms: ${this.settled} of ${this.expected}`)
      this.now = Math.max(this.now, next.at)
      next.run()
    }
  }

  /** Goes on for a while, whatever is settled. */
  idle(ms: number): void {
    const end = this.now + ms
    this.at(end, () => {})
    while (this.now < end) {
      const next = this.#next()
      this.now = Math.max(this.now, next.at)
      next.run()
    }
  }

  handle(event: LedgerEvent, report?: SimChunk['reports'][number]): void {
    const actions = this.ledger.handle(event, this.now)
    this.mostInFlight = Math.max(this.mostInFlight, this.ledger.inFlight)
    for (const action of actions) this.#act(action, report)
  }

  #next(): { at: number; run(): void } {
    let best = 0
    for (let i = 1; i < this.#events.length; i++) {
      const a = this.#events[i] as { at: number; turn: number }
      const b = this.#events[best] as { at: number; turn: number }
      if (a.at < b.at || (a.at === b.at && a.turn < b.turn)) best = i
    }
    const [next] = this.#events.splice(best, 1)
    return next as { at: number; run(): void }
  }

  #every(ms: number, run: () => void): void {
    const again = (): void => {
      run()
      this.at(this.now + ms, again)
    }
    this.at(ms, again)
  }

  /** A message on its way, which may be lost, come twice, or be overtaken. */
  #net(receive: () => void, lossy = true): void {
    if (!this.#connected) return
    if (lossy && this.#random() < this.faults.loss) return
    const deliver = (): void => {
      if (this.#connected) receive()
    }
    this.at(this.now + this.#random() * this.faults.delay, deliver)
    if (this.#random() < this.faults.twice)
      this.at(this.now + this.#random() * 50 * this.faults.delay, deliver)
  }

  #toNode(id: string, receive: (node: SimNode) => void): void {
    const node = this.nodes.find((each) => each.id === id)
    if (!node) return
    this.#net(() => {
      if (node.state === 'working') receive(node)
      else if (node.state === 'stalled') node.inbox.push(() => receive(node))
    })
  }

  // ---- client -----------------------------------------------------------------------------------------

  #act(action: LedgerAction, report: SimChunk['reports'][number] | undefined): void {
    switch (action.type) {
      case 'publish':
        if (action.chunk.state !== 'preparing') return
        return this.#leave(action.chunk)
      case 'republish':
        return this.#publish(action.chunk)
      case 'drop':
        return this.#toNode(action.node, (node) => this.#drop(node, action.chunk))
      case 'dropTasks':
        return this.#toNode(action.node, (node) => {
          const chunk = node.held.get(action.chunk)
          if (!chunk) return
          chunk.open = chunk.open.filter(
            (index, at) => at < chunk.next || index < action.start || index >= action.end,
          )
          if (!chunk.running) this.#run(chunk)
        })
      case 'forget':
        return this.#toNode(action.node, (node) => {
          for (const chunk of [...node.held.values()]) {
            if (chunk.job === action.job) this.#drop(node, chunk.id)
          }
        })
      case 'deliver':
        for (let offset = 0; offset < action.count; offset++) {
          if (!action.ignore.includes(offset)) this.#deliver(action.job, action.start + offset, report)
        }
        return
      case 'giveUp':
        this.given.add(`${action.job}:${action.index}`)
        this.settled++
        return
    }
  }

  #deliver(job: number, index: number, report: SimChunk['reports'][number] | undefined): void {
    const key = `${job}:${index}`
    const times = (this.delivered.get(key) ?? 0) + 1
    if (times > (this.adds.get(key) ?? 0)) throw new Error(`${key} was delivered ${times} times`)
    if (this.#cancelled.has(job)) throw new Error(`${key} was delivered after its job was cancelled`)
    const execution = report?.executions.get(index) ?? -1
    if (execution < (this.#addedAt.get(key) ?? 0)) {
      throw new Error(`${key} got the result of an execution that an earlier attempt has had`)
    }
    this.delivered.set(key, times)
    this.settled++
    if (times === 1 && this.failing(index)) this.add(job, index, index + 1, 2)
  }

  /** Through the queue, or to a node that is believed to idle. */
  #leave(chunk: LedgerChunk): void {
    const known = [...this.#seen.keys()]
    const direct = known.length > 0 && this.#random() < 0.4
    const node = direct ? known[Math.floor(this.#random() * known.length)] : undefined
    this.handle({ type: 'sent', chunk: chunk.id, bytes: 8 * chunk.count, node })
    if (node === undefined) return this.#publish(chunk)
    const place = placeOf(chunk)
    this.#toNode(node, (taker) => {
      if (!isFull(taker)) return this.#take(taker, place, true)
      this.#net(() => this.handle({ type: 'returned', node, chunk: chunk.id }))
    })
  }

  #publish(chunk: LedgerChunk): void {
    const { id } = chunk
    const place = placeOf(chunk)
    this.#net(() => {
      this.#queue.push({ ...place })
      this.#net(() => this.handle({ type: 'acked', chunk: id }))
      for (const node of this.nodes) this.#pull(node)
    })
  }

  #heartbeat(node: SimNode, chunks: [number, number][]): void {
    this.#hear(node)
    this.handle({ type: 'holds', node: node.id, chunks })
  }

  /** Whoever says anything may be lost from now on. */
  #hear(node: SimNode): void {
    const known = this.#seen.has(node.id)
    this.#seen.set(node.id, this.now)
    if (!known) this.#capacity()
  }

  #capacity(): void {
    const nodes = this.nodes.filter(({ id }) => this.#seen.has(id))
    const slots = nodes.reduce((sum, node) => sum + node.slots, 0)
    const free = nodes.reduce((sum, node) => sum + Math.max(0, node.slots - node.held.size), 0)
    const team = nodes.length > 0 ? Math.min(...nodes.map((node) => node.slots)) : 1
    this.handle({ type: 'capacity', need: 'any', slots, free, team })
  }

  #tick(): void {
    if (this.#connected) {
      for (const [id, at] of this.#seen) {
        if (this.now - at <= LOST_AFTER_MS) continue
        this.#seen.delete(id)
        this.handle({ type: 'nodeLost', node: id })
      }
      this.#capacity()
    }
    this.handle({ type: 'tick' })
  }

  // ---- nodes ------------------------------------------------------------------------------------------

  #pull(node: SimNode): void {
    if (node.state !== 'working' || !this.#connected) return
    while (!isFull(node)) {
      const place = this.#queue.find(({ lease }) => lease <= this.now)
      if (!place) return
      place.lease = this.now + ACK_WAIT_MS
      this.#net(() => {
        if (node.state === 'working') this.#take(node, place)
        else if (node.state === 'stalled') node.inbox.push(() => this.#take(node, place))
      })
      return
    }
  }

  #take(node: SimNode, place: Place, direct = false): void {
    const { job, chunk: id, tasks } = place
    const say = (): void => {
      this.#hear(node)
      this.handle({ type: 'held', node: node.id, chunks: [[job, id]] })
    }
    if (!direct) this.#net(say)
    if (node.held.has(id)) return
    const chunk: SimChunk = {
      job,
      id,
      node,
      open: [...tasks],
      next: 0,
      running: false,
      done: [],
      reports: [],
      confirmed: new Set(),
      finished: false,
      place,
      executions: new Map(),
    }
    node.held.set(id, chunk)
    this.#run(chunk)
    this.#pull(node)
  }

  #run(chunk: SimChunk): void {
    const { node } = chunk
    if (chunk.running || chunk.finished || node.state !== 'working' || node.held.get(chunk.id) !== chunk)
      return
    const index = chunk.open[chunk.next]
    if (index === undefined) return this.#report(chunk, true)
    chunk.running = true
    chunk.next++
    chunk.executions.set(index, this.executions++)
    this.at(this.now + this.duration * node.slow, () => {
      chunk.running = false
      if (node.state === 'dead') return
      chunk.done.push(index)
      if (this.#random() < 0.3) this.#report(chunk, false)
      this.#run(chunk)
    })
  }

  /** Results of consecutive tasks travel together. */
  #report(chunk: SimChunk, last: boolean): void {
    const runs: number[][] = []
    for (const index of chunk.done.splice(0)) {
      const run = runs[runs.length - 1]
      if (run && index === (run[run.length - 1] as number) + 1) run.push(index)
      else runs.push([index])
    }
    if (last && runs.length === 0) runs.push([])
    runs.forEach((run, at) => {
      const isLast = last && at === runs.length - 1
      const executions = new Map(run.map((index) => [index, chunk.executions.get(index) as number]))
      chunk.reports.push({ start: run[0] ?? 0, count: run.length, last: isLast, executions })
      this.#send(chunk, chunk.reports.length - 1)
    })
    chunk.finished = last
    if (last) this.#pull(chunk.node)
  }

  #send(chunk: SimChunk, seq: number): void {
    const report = chunk.reports[seq] as SimChunk['reports'][number]
    const { start, count, last } = report
    this.#net(() => {
      this.#hear(chunk.node)
      const ms = count * this.duration
      const event = { job: chunk.job, chunk: chunk.id, seq, start, count, last, ms, bytes: 8 * count }
      this.handle({ type: 'report', node: chunk.node.id, ...event }, report)
      this.#toNode(chunk.node.id, () => {
        chunk.confirmed.add(seq)
        if (!chunk.finished || chunk.confirmed.size < chunk.reports.length) return
        this.#forget(chunk)
      })
    })
  }

  #resend(chunk: SimChunk): void {
    if (this.now % RESEND_MS > HEARTBEAT_MS) return
    for (let seq = 0; seq < chunk.reports.length; seq++) if (!chunk.confirmed.has(seq)) this.#send(chunk, seq)
  }

  #drop(node: SimNode, id: number): void {
    const chunk = node.held.get(id)
    if (chunk) this.#forget(chunk)
  }

  #forget(chunk: SimChunk): void {
    chunk.node.held.delete(chunk.id)
    chunk.finished = true
    const at = this.#queue.indexOf(chunk.place)
    if (at >= 0) this.#queue.splice(at, 1)
    this.#pull(chunk.node)
  }
}

const isFull = (node: SimNode): boolean =>
  [...node.held.values()].filter((chunk) => !chunk.finished).length >= node.slots

function placeOf({ id, open, job }: LedgerChunk): Place {
  const tasks = open.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i))
  return { job: job.spec.id, chunk: id, tasks, lease: 0 }
}
