/** The nodes of a pool, as their heartbeats describe them. */
import type { Heartbeat, Need } from '../../nats/messages.ts'
import { meets } from '../../nats/need.ts'
import { LOST_AFTER_MS, PROTOCOL } from '../../nats/settings.ts'
import type { NodeInfo } from '../engine.ts'

interface Member {
  /** Undefined until its first heartbeat: it was only heard of by its results. */
  beat: Omit<Heartbeat, 'held'> | undefined
  /** When it was heard last, `performance.now()`. */
  heardAt: number
  /** Slots without work: its heartbeat's, less what it was sent since, and more what has ended since. */
  free: number
  /** The same, with places for one short chunk more for each slot. */
  room: number
  /** Chunks that were sent to it, and whether its heartbeat counted them. */
  lent: Map<number, boolean>
}

export class Members {
  readonly #members = new Map<string, Member>()
  /** Chunks that were sent to a node, and to which. */
  readonly #lent = new Map<number, string>()
  #lookedAt: number

  /** @param now `performance.now()` */
  constructor(now: number) {
    this.#lookedAt = now
  }

  /**
   * @param client ours
   * @returns whether it offers other slots than before
   */
  beat({ held, ...beat }: Heartbeat, client: string, now: number): boolean {
    const member = this.#members.get(beat.node)
    const before = member?.beat
    const lent = new Map(member?.lent)
    for (const chunk of lent.keys()) lent.set(chunk, false)
    for (const [owner, , chunk] of held) if (owner === client && lent.has(chunk)) lent.set(chunk, true)
    let { free } = beat
    let room = 2 * beat.slots - held.length
    for (const counted of lent.values()) {
      if (counted) continue
      free--
      room--
    }
    if (beat.state === 'left') this.#members.delete(beat.node)
    else this.#members.set(beat.node, { beat, heardAt: now, free, room, lent })
    return before?.state !== beat.state || before.slots !== beat.slots
  }

  /**
   * A node that can begin the chunk now, as far as is known: the one with the most free slots.
   * @param short it may as well wait there for a slot, since that will not take long
   */
  lend(need: Need, chunk: number, short: boolean): string | undefined {
    const places = ({ free, room }: Member): number => (short ? Math.max(free, room) : free)
    let best: Member | undefined
    for (const member of this.#members.values()) {
      const { beat } = member
      if (!beat || stateOf(beat) !== 'working' || !meets(need, beat)) continue
      if (places(member) > (best ? places(best) : 0)) best = member
    }
    const node = best?.beat?.node
    if (!best || node === undefined) return undefined
    best.free--
    best.room--
    best.lent.set(chunk, false)
    this.#lent.set(chunk, node)
    return node
  }

  /** The chunk is not there any more. */
  giveBack(chunk: number): void {
    const member = this.#members.get(this.#lent.get(chunk) ?? '')
    if (!this.#lent.delete(chunk) || !member?.lent.delete(chunk)) return
    member.free++
    member.room++
  }

  /** It has other work than its last heartbeat told, and no place for so many chunks that are given back next. */
  full(node: string, chunks: number): void {
    const member = this.#members.get(node)
    if (member) member.free = member.room = -chunks
  }

  /** It has said something else. */
  heard(node: string, now: number): void {
    const member = this.#members.get(node)
    if (member) member.heardAt = now
    else this.#members.set(node, { beat: undefined, heardAt: now, free: 0, room: 0, lent: new Map() })
  }

  /** Nobody could be heard: everybody has all the time again. */
  amnesty(now: number): void {
    for (const member of this.#members.values()) member.heardAt = now
    this.#lookedAt = now
  }

  /**
   * Nodes that were silent for too long, each once.
   * @param every how often this is called; when that was longer ago, this program was stopped or busy, and what they
   * said meanwhile is still to be read
   */
  lost(now: number, every: number): string[] {
    if (now - this.#lookedAt > 3 * every) this.amnesty(now)
    this.#lookedAt = now
    const lost: string[] = []
    for (const [node, { heardAt }] of this.#members) {
      if (now - heardAt <= LOST_AFTER_MS) continue
      this.#members.delete(node)
      lost.push(node)
    }
    return lost
  }

  /** `team`: slots of the smallest node. */
  capacity(need: Need): { slots: number; free: number; team: number } {
    let slots = 0
    let free = 0
    let team = Infinity
    for (const { beat } of this.#members.values()) {
      if (!beat || stateOf(beat) !== 'working' || !meets(need, beat)) continue
      slots += beat.slots
      free += beat.free
      team = Math.min(team, beat.slots)
    }
    return { slots, free, team: slots > 0 ? team : 1 }
  }

  slotsOf(node: string): number {
    return this.#members.get(node)?.beat?.slots ?? 1
  }

  list(): NodeInfo[] {
    const nodes: NodeInfo[] = []
    for (const { beat } of this.#members.values()) {
      if (!beat) continue
      const { name, slots, free, tags, memory, host } = beat
      const { os, arch, cpus, runtime, dicomp: version } = host
      nodes.push({ name, state: stateOf(beat), slots, free, tags, memory, os, arch, cpus, runtime, version })
    }
    return nodes.sort((a, b) => (a.name < b.name ? -1 : 1))
  }
}

function stateOf({ protocol, state }: Omit<Heartbeat, 'held'>): NodeInfo['state'] {
  if (protocol !== PROTOCOL) return 'incompatible'
  return state === 'working' ? 'working' : 'draining'
}

/** What a node holds of a client. */
export function heldFor(client: string, { held }: Heartbeat): [job: number, chunk: number][] {
  const chunks: [number, number][] = []
  for (const [owner, job, chunk] of held) if (owner === client) chunks.push([job, chunk])
  return chunks
}
