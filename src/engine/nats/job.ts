/** A job of a cluster, as its client knows it. */
import type { Need } from '../../nats/messages.ts'
import { needKey } from '../../nats/need.ts'
import type { JobClient, TaskSpec } from '../engine.ts'
import { Leftovers } from './leftovers.ts'

export interface RemoteJob {
  key: number
  spec: TaskSpec
  client: JobClient
  need: Need
  needKey: string
  /** Describes it to nodes; there once its code is stored. */
  frame: Uint8Array | undefined
  /** Nodes that have it, since they have run tasks of it. */
  knownBy: Set<string>
  leftovers: Leftovers
  /** Tasks that were added and have neither been delivered nor lost. */
  open: number
  /** Times in a row that something of it was not in the object store. */
  missing: number
  /** What nodes need to run it is being stored. */
  storing: boolean
  /** Chunks up to this number were made before that was stored. */
  storedAfter: number
  /** Why none of its tasks can run. */
  failure: Error | undefined
}

export function newJob(key: number, spec: TaskSpec, client: JobClient): RemoteJob {
  const need = needOf(spec)
  return {
    key,
    // Other computers have processes for it, whatever was asked for.
    spec: { ...spec, pool: { ...spec.pool, isolation: 'process' } },
    client,
    need,
    needKey: needKey(need),
    frame: undefined,
    knownBy: new Set(),
    leftovers: new Leftovers(),
    open: 0,
    missing: 0,
    storing: false,
    storedAfter: 0,
    failure: undefined,
  }
}

function needOf({ tags = [], pool }: TaskSpec): Need {
  return { ...(tags.length > 0 && { tags }), ...(pool.memory !== undefined && { memory: pool.memory }) }
}
