import { readFileSync } from 'node:fs'
import { OptionError } from '../errors.ts'
import { readLink } from '../nats/link.ts'

/**
 * The link that a command was given: itself, `@file`, or `-` for stdin; else from DICOMP_URL. All but the first keep
 * its secret out of the list of processes.
 */
export function readLinkText(given: string | undefined, what: string): string {
  if (given === undefined) {
    const url = process.env.DICOMP_URL
    if (url) return readLink(url)
    throw new OptionError(
      `${what} needs the link of a cluster`,
      'give it the link that `dicomp up` prints, as an argument, as @file, or in DICOMP_URL',
    )
  }
  if (given === '-') return readFileSync(0, 'utf8').trim()
  if (!given.startsWith('@')) hideArguments()
  return readLink(given)
}

/** The title takes the place of the arguments in the list of processes. (What started us may show them all the same.) */
function hideArguments(): void {
  process.title = `dicomp ${process.argv[2] ?? ''}`
}
