/**
 * Loaded into a user's program by `dicomp run` (`node --import`): shows every job of the program on stderr. Jobs
 * announce themselves on a diagnostics channel, so this works whichever copy of dicomp the program uses.
 */
import { subscribe } from 'node:diagnostics_channel'
import { isMainThread } from 'node:worker_threads'
import { Reporter } from './reporter.ts'
import type { WatchedJob } from './snapshot.ts'

if (isMainThread) {
  // Processes that the program forks inherit execArgv; only the program itself shows progress.
  const self = process.execArgv.indexOf(import.meta.url)
  if (self > 0 && process.execArgv[self - 1] === '--import') process.execArgv.splice(self - 1, 2)

  const reporter = new Reporter()
  subscribe('dicomp:job', (message) => reporter.add((message as { job: WatchedJob }).job))
  process.on('exit', () => reporter.close())
}
