/** The library inside a slot: the same API on the engine that the slot's owner offers. Built as library.cjs. */
import { Cluster, createDistribute, newPrograms } from './api/cluster.ts'
import type { TaskOptions } from './api/options.ts'
import type { Engine } from './engine/engine.ts'

/** @param defaults what nested tasks inherit from the slot */
export function createApi(
  engine: Engine,
  defaults: Partial<TaskOptions>,
): { distribute: unknown; connect: unknown } {
  const distribute = createDistribute({ engine: () => engine, programs: newPrograms(false), defaults })
  return { distribute, connect: async () => new Cluster(engine, defaults) }
}
