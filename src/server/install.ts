/**
 * `dicomp engine install`: nats-server by the package client at hand, which checks what it downloads; into dicomp's
 * own folder where the client can (pip, uv, go), so that nothing else on the computer changes.
 */
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DicompError, ServerMissingError } from '../errors.ts'
import { MINIMUM_SERVER } from '../nats/settings.ts'
import { CLIENTS, type Client } from './clients.ts'
import { inPath, runCommand } from './command.ts'
import { type FoundServer, findServer } from './find.ts'
import { engineDir, ownServer } from './home.ts'
import { serverVersion } from './versions.ts'

/** A download and, with go, a build. */
const TIMEOUT_MS = 15 * 60_000

type Say = (line: string) => void

/**
 * Installs nats-server. Does nothing where `findServer` finds one already.
 * @param say gets a line for each step
 * @throws ServerMissingError no client is there, or none succeeded; the message has what each said
 */
export async function installServer(say: Say = () => {}): Promise<FoundServer> {
  const present = await findServer().catch((error: unknown) => {
    if (error instanceof ServerMissingError && !process.env.DICOMP_NATS_SERVER) return undefined
    throw error
  })
  if (present) {
    say(`nats-server ${present.version} is here already: ${present.path}`)
    return present
  }
  await mkdir(engineDir(), { recursive: true, mode: 0o700 }).catch((error: Error) => {
    throw new DicompError('DICOMP_E_FILE', `Cannot make ${engineDir()}: ${error.message}`, {
      fix: 'set DICOMP_HOME to a folder that you may write to',
      cause: error,
    })
  })
  const failures: string[] = []
  for (const client of CLIENTS) {
    const [file] = await inPath(client.name)
    if (file === undefined) continue
    const failure = (await client.unable?.(file)) ?? (await install(client, file, say))
    if (failure === undefined) {
      const found = await findServer()
      say(`nats-server ${found.version} is installed: ${found.path}`)
      return found
    }
    say(`${client.name}: ${failure}`)
    failures.push(`${client.name}: ${failure}`)
  }
  throw new ServerMissingError(
    failures.length > 0
      ? `nats-server could not be installed\n  ${failures.join('\n  ')}`
      : `nats-server cannot be installed: none of ${CLIENTS.map(({ name }) => name).join(', ')} is here`,
    `get nats-server ${MINIMUM_SERVER} or newer (https://nats.io/download) and put it in PATH, or name it in DICOMP_NATS_SERVER`,
  )
}

/** Into a folder beside its place, tried, then moved there: what is in place is whole. Gives why it failed. */
async function install(client: Client, file: string, say: Say): Promise<string | undefined> {
  const target = await mkdtemp(join(engineDir(), 'install-'))
  try {
    const { args, env } = client.command(target)
    say([client.name, ...args].join(' '))
    const ended = await runCommand(file, args, { ...(env && { env }), timeoutMs: TIMEOUT_MS })
    if (ended.code !== 0) return lastLine(ended.stderr) || `it ended with ${ended.code}`
    if (!client.whole) {
      const got = join(target, 'bin', basename(ownServer()))
      if ((await serverVersion(got)) === undefined) return 'what it installed does not run here'
      await mkdir(dirname(ownServer()), { recursive: true })
      await rename(got, ownServer())
    }
    return await findServer().then(
      () => undefined,
      (error: Error) => error.message,
    )
  } finally {
    await rm(target, { recursive: true, force: true })
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
