import { resolve } from 'node:path'
import { ServerMissingError } from '../errors.ts'
import { MINIMUM_SERVER } from '../nats/settings.ts'
import { installCommand } from './clients.ts'
import { inPath, isExecutable } from './command.ts'
import { ownServer } from './home.ts'
import { isOlder, serverVersion } from './versions.ts'

export interface FoundServer {
  path: string
  /** `2.15.1`. */
  version: string
}

const INSTALL = 'npx dicomp engine install'

/**
 * The nats-server to start: the one that `DICOMP_NATS_SERVER` names, else the first in PATH that is new enough, else
 * the one of `dicomp engine install`.
 * @throws ServerMissingError there is none, or only such as are older than MINIMUM_SERVER
 */
export async function findServer(env: NodeJS.ProcessEnv = process.env): Promise<FoundServer> {
  if (env.DICOMP_NATS_SERVER) return named(resolve(env.DICOMP_NATS_SERVER))
  const old: FoundServer[] = []
  for (const path of [...(await inPath('nats-server', env.PATH)), ownServer()]) {
    const version = (await isExecutable(path)) ? await serverVersion(path) : undefined
    if (version === undefined) continue
    if (!isOlder(version, MINIMUM_SERVER)) return { path, version }
    old.push({ path, version })
  }
  const command = await installCommand()
  throw new ServerMissingError(
    old.length > 0 ? tooOld(old) : `There is no nats-server on this computer (${MINIMUM_SERVER} or newer)`,
    command === undefined
      ? `get nats-server ${MINIMUM_SERVER} or newer (https://nats.io/download) and put it in PATH, or name it in DICOMP_NATS_SERVER`
      : `run: ${INSTALL}\n       (which here does: ${command})`,
  )
}

async function named(path: string): Promise<FoundServer> {
  const fix = `correct DICOMP_NATS_SERVER, or unset it and run: ${INSTALL}`
  if (!(await isExecutable(path))) {
    throw new ServerMissingError(`DICOMP_NATS_SERVER names ${path}, which is no program`, fix)
  }
  const version = await serverVersion(path)
  if (version === undefined) {
    throw new ServerMissingError(`DICOMP_NATS_SERVER names ${path}, which is no nats-server`, fix)
  }
  if (isOlder(version, MINIMUM_SERVER)) throw new ServerMissingError(tooOld([{ path, version }]), fix)
  return { path, version }
}

function tooOld(found: FoundServer[]): string {
  const list = found.map(({ path, version }) => `${path} is ${version}`).join(', ')
  return `dicomp needs nats-server ${MINIMUM_SERVER} or newer; ${list}`
}
