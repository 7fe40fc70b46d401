/** The library inside a slot: the same API on the engine that the slot's owner offers. Built as library.cjs. */
import { Cluster, createDistribute, newPrograms } from './api/cluster.ts'
import type { Engine } from './engine/engine.ts'

export function createApi(engine: Engine): { distribute: unknown; connect: unknown } {
  const distribute = createDistribute({ engine: () => engine, programs: newPrograms(), defaults: {} })
  return { distribute, connect: async () => new Cluster(engine) }
}
