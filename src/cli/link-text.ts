import { readFileSync } from 'node:fs'
import { DicompError, OptionError } from '../errors.ts'

/**
 * The link that a command was given: itself, `@file`, or `-` for stdin; else from DICOMP_URL. All but the first keep
 * its secret out of the list of processes.
 */
export function readLinkText(given: string | undefined, what: string): string {
  if (given === undefined) {
    const url = process.env.DICOMP_URL
    if (url) return url
    throw new OptionError(
      `${what} needs the link of a cluster`,
      'give it the link that `dicomp up` prints, as an argument, as @file, or in DICOMP_URL',
    )
  }
  const file = given === '-' ? 0 : given.startsWith('@') ? given.slice(1) : undefined
  if (file === undefined) {
    hideArguments()
    return given
  }
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new DicompError('DICOMP_E_FILE', `Cannot read the link: ${(error as Error).message}`, {
      fix: 'check the path and its permissions',
      cause: error,
    })
  }
}

/** The title takes the place of the arguments in the list of processes. (What started us may show them all the same.) */
function hideArguments(): void {
  process.title = `dicomp ${process.argv[2] ?? ''}`
}
