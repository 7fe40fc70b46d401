import { infoOf } from '../api/detached.ts'
import { isOver } from '../detached/record.ts'
import { type JobView, Store } from '../detached/store.ts'
import type { NodeInfo } from '../engine/engine.ts'
import { reason } from '../engine/nats/waiting.ts'
import type { Connection } from '../nats/connection.ts'
import { describeLink } from '../nats/link.ts'
import type { Heartbeat, Need } from '../nats/messages.ts'
import { meets } from '../nats/need.ts'
import { callRoll } from '../nats/roll.ts'
import { PROTOCOL } from '../nats/settings.ts'
import { formatBytes, formatCount, plain } from '../progress/index.ts'
import { type ClusterOptions, printJson, withCluster } from './cluster-link.ts'
import { EXIT } from './exit.ts'
import { table } from './table.ts'

interface Candidate {
  name: string
  state: string
  slots: number
  free: number
  /** What it lacks of what the job needs. */
  lacks: string[]
}

/** Says why a job waits: which of its needs is not met, and by which nodes. Resolves to the exit code. */
export function explain(id: string, options: ClusterOptions): Promise<number> {
  return withCluster(options, 'explain', async (connection) => {
    const store = new Store(connection)
    const view = await store.job(id)
    const [beats, drivers] = await Promise.all([callRoll(connection), store.drivers()])
    const { tags = [], pool } = view.record.spec
    const need: Need = {
      ...(tags.length > 0 && { tags }),
      ...(pool.memory !== undefined && { memory: pool.memory }),
    }
    const nodes = beats.map((beat) => candidate(beat, need))
    const why = plain(explanation(view, need, drivers.idle, beats, connection))
    if (options.json) {
      printJson({ id, state: view.state, reason: why, need, drivers, nodes })
      return EXIT.ok
    }
    process.stdout.write(`${id} is ${view.state}: ${why}.\n`)
    if (isOver(view.state) || nodes.length === 0) return EXIT.ok
    const rows = nodes.map(({ name, state, slots, free, lacks }) => [
      name,
      state,
      `${slots - free}/${slots}`,
      lacks.length > 0 ? `no: it lacks ${lacks.join(', ')}` : state === 'working' ? 'yes' : `no: ${state}`,
    ])
    process.stdout.write(`\n${table(['NODE', 'STATE', 'BUSY', 'CAN RUN IT'], rows)}`)
    return EXIT.ok
  })
}

function explanation(
  view: JobView,
  need: Need,
  idleDrivers: number,
  beats: Heartbeat[],
  connection: Connection,
): string {
  const { state, status } = view
  const { done, failed, running, queued, slots } = infoOf(view).progress
  if (isOver(state)) return `it is over: ${formatCount(done)} tasks done, ${formatCount(failed)} failed`
  if (!status || status.round < view.want.round) {
    return idleDrivers > 0
      ? 'a driver takes it in a moment'
      : 'no driver is there that takes it; `npx dicomp up` runs one, and so does `npx dicomp drive`'
  }
  if (state === 'cancelling') return 'it was cancelled, and its driver has not ended it yet'
  if (running > 0) {
    const rest = queued > 0 ? `; ${formatCount(queued)} wait for their turn` : ''
    return `${formatCount(running)} tasks run, on ${slots} slots${rest}`
  }
  const nodes = beats.map(nodeOf)
  const { pool, link } = connection
  const jobs = [{ need, waiting: queued, held: 0, refused: false }]
  const engine = describeLink(link)
  return (
    reason({ engine, pool, connected: true, nodes, jobs, trouble: undefined }) ??
    status.waiting ??
    'its tasks are on their way to the nodes; when that lasts, its driver is gone, and another takes over in 8 s'
  )
}

function candidate(beat: Heartbeat, need: Need): Candidate {
  const { name, slots, free, tags, memory } = beat
  const lacks = (need.tags ?? []).filter((tag) => !tags.includes(tag)).map((tag) => `the tag ${tag}`)
  if (!meets({ ...(need.memory !== undefined && { memory: need.memory }) }, beat))
    lacks.push(`${formatBytes(need.memory ?? 0)} of memory for a slot (it has ${formatBytes(memory)})`)
  return { name, state: nodeOf(beat).state, slots, free, lacks }
}

function nodeOf({ name, state, slots, free, tags, memory, host, protocol }: Heartbeat): NodeInfo {
  const { os, arch, cpus, runtime, dicomp: version } = host
  const now = protocol !== PROTOCOL ? 'incompatible' : state === 'working' ? 'working' : 'draining'
  return { name, state: now, slots, free, tags, memory, os, arch, cpus, runtime, version }
}
