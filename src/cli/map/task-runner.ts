import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { pathToFileURL } from 'node:url'
import type { Cluster, TaskOptions } from '../../index.ts'
import type { Snapshot } from '../../progress/index.ts'
import type { InspectedTask } from './inspect-task.ts'
import type { MapProgress } from './map-progress.ts'
import type { Outcome, TaskRunner } from './map-run.ts'

/** The default export of a module as the runner of the tasks. */
export function moduleRunner(
  cluster: Cluster,
  task: InspectedTask,
  options: TaskOptions,
  progress: MapProgress,
): TaskRunner {
  const run = cluster.distribute.module<(input: unknown) => unknown>(pathToFileURL(task.path), 'default', {
    name: task.name,
    ...options,
  })
  return {
    async *run(inputs, { ordered, signal }) {
      const follow = (message: unknown) => {
        const { job } = message as { job: { progress: Snapshot } }
        progress.engine = () => ({ running: job.progress.running, slots: job.progress.slots })
      }
      subscribe('dicomp:job', follow)
      try {
        yield* run.stream(inputs, { ordered, signal, settled: true }) as AsyncIterable<Outcome>
      } finally {
        unsubscribe('dicomp:job', follow)
      }
    },
  }
}
