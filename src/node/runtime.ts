/** The runtime of a node's slots, when it is another one than the agent's own. */
import { execFile } from 'node:child_process'
import { OptionError } from '../errors.ts'

export interface Runtime {
  /** Name or path; undefined for the runtime of this process. */
  command: string | undefined
  /** For people: `node 24.1.0`, `bun 1.2.3`. */
  label: string
}

/** The oldest versions that slots run on. */
const LEAST: Record<string, [major: number, minor: number]> = { node: [20, 19], bun: [1, 2], deno: [2, 1] }
/** A runtime that has not told its version after this long is none, milliseconds. */
const VERSION_MS = 10_000

/**
 * @param wanted `node`, `bun`, `deno`, or the path of one of them
 * @throws OptionError when it is not there, too old, or something else
 */
export async function findRuntime(wanted: string | undefined): Promise<Runtime> {
  if (wanted === undefined) return { command: undefined, label: `node ${process.versions.node}` }
  let said: string
  try {
    said = await versionOf(wanted)
  } catch (error) {
    throw new OptionError(
      `--runtime ${wanted} cannot be started: ${(error as Error).message.split('\n')[0]}`,
      'install it, or give its path',
    )
  }
  const [, prefix = '', version = ''] = /^(v|deno |)(\d+\.\d+\.\d+)/.exec(said) ?? []
  const name = prefix === 'v' ? 'node' : prefix === '' ? 'bun' : 'deno'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor, leastMinor] = LEAST[name] as [number, number]
  const isName = name === 'node' || new RegExp(`${name}(\\.exe)?$`, 'i').test(wanted)
  if (version === '' || !isName) {
    throw new OptionError(`--runtime ${wanted} is none of Node.js, Bun and Deno, or has another name`)
  }
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
    throw new OptionError(
      `--runtime ${wanted} is ${name} ${version}; slots need ${leastMajor}.${leastMinor} or newer`,
    )
  }
  return { command: wanted, label: `${name} ${version}` }
}

function versionOf(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, ['--version'], { timeout: VERSION_MS }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    )
  })
}
