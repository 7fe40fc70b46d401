import { DicompError } from '../errors.ts'
import { canColour, paint } from '../progress/index.ts'

/**
 * An error as a person should see it: ours as code, message and fix, without our own stack; any other one (a
 * task's) with its stack, which points at the user's lines.
 */
export function describeError(error: unknown, colour = canColour(process.stderr)): string {
  const label = paint('error', colour ? 'red' : undefined)
  if (error instanceof DicompError) {
    const cause =
      error.cause instanceof Error && isTaskError(error)
        ? `\n  Caused by: ${indent(stackOf(error.cause))}`
        : ''
    return `${label} ${error.code}: ${error.message}${cause}`
  }
  if (error instanceof Error) return `${label}: ${stackOf(error)}`
  return `${label}: a value that is no Error was thrown: ${String(error)}`
}

/** Causes of these are the user's own errors; those of the others say again what our message says. */
function isTaskError(error: DicompError): boolean {
  return (
    error.code === 'DICOMP_E_LOAD' ||
    error.code === 'DICOMP_E_SLOT_CRASHED' ||
    error.code === 'DICOMP_E_INPUT'
  )
}

/** The stack of a task's error, without the part that shows who submitted the task: here that is only us. */
export function stackOf(error: Error): string {
  return (error.stack ?? `${error.name}: ${error.message}`).replace(/\n +at --- sent to [\s\S]*$/, '')
}

function indent(text: string): string {
  return text.replaceAll('\n', '\n  ')
}
