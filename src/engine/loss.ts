/** Why an engine has no result for a task, in words. */
import type { Action } from '../core/state.ts'
import { OutOfMemoryError, SlotCrashedError } from '../errors.ts'
import type { Exit } from '../slot/slot.ts'
import type { TaskSpec } from './engine.ts'

/** @param exit how the last slot that tried it died */
export function lossError(
  { cause, start, kills }: Extract<Action, { type: 'lost' }>,
  { name, pool }: TaskSpec,
  exit: (Exit & { label: string }) | undefined,
): Error {
  const where = exit?.label ?? 'its slot'
  const task = `Task ${start} of '${name}'`
  if (cause === 'memory') {
    return new OutOfMemoryError(`${task} ran out of memory in ${where}`, pool.memory, exit?.cause)
  }
  const thrown = exit?.cause instanceof Error ? `${exit.cause.name}: ${exit.cause.message}` : exit?.cause
  const after = exit && 'cause' in exit ? ` after an error that nobody caught (${String(thrown)})` : ''
  if (cause === 'start' && exit?.exitCode === undefined && exit?.signal === undefined) {
    return new SlotCrashedError(
      `No ${pool.isolation} could be started for '${name}': ${thrown}`,
      {},
      exit?.cause,
    )
  }
  const how = (exit?.signal ? `signal ${exit.signal}` : `exit code ${exit?.exitCode ?? 'unknown'}`) + after
  const what =
    cause === 'start'
      ? `No slot could be started for '${name}': ${where} ended with ${how}`
      : kills === 1
        ? `${task} killed its slot: ${where} ended with ${how}`
        : `${task} killed ${kills} slots; the last, ${where}, ended with ${how}`
  return new SlotCrashedError(what, exit ?? {}, exit?.cause)
}
