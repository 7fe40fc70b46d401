/** Says what a program waits for, in words: on stderr within five seconds, then rarely. */
import type { Need } from '../../nats/messages.ts'
import { meets } from '../../nats/need.ts'
import type { NodeInfo } from '../engine.ts'

/** A reason is said after it has lasted so long, and again after these pauses, the last of them over and over. */
const FIRST_MS = 3000
const AGAIN_MS = [60_000, 300_000, 1_800_000]
/** It is looked for this often. */
const LOOK_MS = 1000

/** What is known when tasks wait. */
export interface Situation {
  /** Where the engine is, without its secret. */
  engine: string
  pool: string
  connected: boolean
  nodes: NodeInfo[]
  /** What waits, with its need. */
  jobs: { need: Need; waiting: number; held: number; refused: boolean }[]
  /** Why something could not be stored or published. */
  trouble: string | undefined
}

/** Why no task of some need runs; undefined when all goes its way. */
export function reason({ engine, pool, connected, nodes, jobs, trouble }: Situation): string | undefined {
  if (jobs.length === 0) return undefined
  if (!connected) return `there is no connection to the engine at ${engine}`
  if (nodes.length === 0) return `no node is in the pool ${pool}; add one: npx dicomp join <link>`
  const able = nodes.filter(({ state }) => state === 'working')
  if (able.length === 0) {
    const list = nodes.map(
      ({ name, state, version }) => `${name}: ${state === 'draining' ? 'draining' : `dicomp ${version}`}`,
    )
    return nodes.some(({ state }) => state === 'incompatible')
      ? `all nodes have another version of dicomp than this program (${list.join(', ')})`
      : `all nodes are about to leave (${list.join(', ')})`
  }
  for (const { need, waiting, held, refused } of jobs) {
    if (waiting === 0) continue
    const fit = able.filter((node) => meets(need, node))
    if (fit.length === 0) return `no node has ${describeNeed(need)} (${lacking(need, able)})`
    if (held > 0) continue
    if (trouble !== undefined) return trouble
    if (refused) return `the work queue at ${engine} does not take tasks`
    const slots = fit.reduce((sum, node) => sum + node.slots, 0)
    if (fit.every(({ free }) => free === 0)) {
      return `all ${slots} slots of ${fit.length === 1 ? '1 node' : `${fit.length} nodes`} have other work`
    }
  }
  return trouble
}

export class Waiting {
  #since = 0
  #reason: string | undefined
  #said = 0
  #next = 0
  #lookedAt = 0

  /** Whether it is time to look again. */
  isDue(now: number): boolean {
    return now - this.#lookedAt >= LOOK_MS
  }

  /**
   * Notes why nothing runs now.
   * @param now `performance.now()`
   */
  look(why: string | undefined, now: number): void {
    this.#lookedAt = now
    if (kindOf(why) !== kindOf(this.#reason)) {
      this.#since = now
      this.#said = 0
      this.#next = now + FIRST_MS
    }
    this.#reason = why
    if (why === undefined || now < this.#next) return
    this.#next = now + (AGAIN_MS[Math.min(this.#said, AGAIN_MS.length - 1)] as number)
    this.#said++
    process.emitWarning(`${this.text(now)}. It goes on by itself.`, {
      type: 'DicompWarning',
      code: 'DICOMP_W_WAITING',
    })
  }

  /** What is waited for and how long; undefined when nothing is. */
  text(now: number): string | undefined {
    if (this.#reason === undefined) return undefined
    return `Tasks wait (${Math.round((now - this.#since) / 1000)} s): ${this.#reason}`
  }
}

/** Numbers and lists in a reason may change without it being another one. */
function kindOf(why: string | undefined): string | undefined {
  return why?.replace(/\d+|\(.*\)/g, '')
}

function describeNeed({ tags = [], memory }: Need): string {
  const parts: string[] = []
  if (tags.length > 0) parts.push(`the tag${tags.length > 1 ? 's' : ''} ${tags.join(', ')}`)
  if (memory !== undefined) parts.push(`${size(memory)} of memory for a slot`)
  return parts.join(' and ')
}

function lacking(need: Need, nodes: NodeInfo[]): string {
  const shown = nodes.slice(0, 5).map((node) => {
    const has = [`tags ${node.tags.join(', ') || 'none'}`]
    if (need.memory !== undefined) has.push(size(node.memory))
    return `${node.name}: ${has.join(', ')}`
  })
  return shown.join('; ') + (nodes.length > 5 ? `; and ${nodes.length - 5} more` : '')
}

const size = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GB` : `${Math.round(bytes / 2 ** 20)} MB`
