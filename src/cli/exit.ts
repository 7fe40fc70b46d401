/** The exit codes of every command; docs/cli.md lists them. */
export const EXIT = {
  ok: 0,
  /** Something failed, and a message says what. */
  failure: 1,
  /** The command line itself was wrong. */
  usage: 2,
} as const

const SIGNALS: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 1, SIGINT: 2, SIGPIPE: 13, SIGTERM: 15 }

/** What a shell reports for a program that this signal ended: 130 for SIGINT. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + (SIGNALS[signal] ?? 0)
}
