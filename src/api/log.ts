import type { LogEntry, ResolvedOptions } from './options.ts'

/** Puts out what a task printed, where the options say. */
export function writeLog(to: ResolvedOptions['log'], entry: LogEntry): void {
  if (to === 'inherit') process[entry.stream].write(entry.text)
  else if (to !== 'ignore') to(entry)
}
