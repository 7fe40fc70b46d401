/** Values of command-line options, with messages that say what would be right. Exit code 2: wrong usage. */

/** Prints what is wrong and ends the program. */
export function usage(message: string): never {
  console.error(message)
  process.exit(2)
}

/** A number within bounds, or `fallback` when the option was not given. */
export function numberOption(
  name: string,
  text: string | undefined,
  { least, most = Number.MAX_SAFE_INTEGER, whole = true }: { least: number; most?: number; whole?: boolean },
): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  const fits = text.trim() !== '' && value >= least && value <= most && (!whole || Number.isInteger(value))
  if (!fits) {
    const bounds = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`
    usage(`--${name} is ${JSON.stringify(text)}. Give a ${whole ? 'whole ' : ''}number ${bounds}.`)
  }
  return value
}
