/** The environment variables of a slot. */

/**
 * Variables that slots get unasked, from whoever starts them: on another computer it is that one's PATH and HOME.
 * Others may be secrets of this program; what a function needs, it captures or names in `env`.
 */
const USUAL = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
  'TEMP',
  'TMP',
  'NODE_ENV',
]

let usual: Record<string, string> | undefined

/** @param named the variables that the user gave; they go before the usual ones */
export function slotEnvironment(named: Record<string, string>): Record<string, string> {
  if (!usual) {
    usual = {}
    for (const [name, value] of Object.entries(process.env)) {
      if (value !== undefined && (USUAL.includes(name) || name.startsWith('LC_'))) usual[name] = value
    }
  }
  return { ...usual, ...named }
}
