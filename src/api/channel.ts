/** Jobs announce themselves, so that tools can show them (`dicomp run` does). */
import { channel } from 'node:diagnostics_channel'
import type { Progress } from './progress.ts'

export interface AnnouncedJob {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly progress: Progress
  readonly done: Promise<unknown>
}

const jobs = channel('dicomp:job')

/** @param job made only when somebody listens */
export function announce(job: () => AnnouncedJob): void {
  if (jobs.hasSubscribers) jobs.publish({ job: job() })
}

let next = 1

/** Id of a job, unique in this process: `solve-3`. */
export const newJobId = (name: string): string => `${name || 'job'}-${next++}`
