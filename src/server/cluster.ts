/** The cluster of `dicomp up`, on disk: begun once, found again later, its credentials changed while it runs. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { totalmem } from 'node:os'
import { formatLink, type Link, type Role } from '../nats/link.ts'
import { reload } from './admin.ts'
import { createCertificate, pinOfPem } from './certificate.ts'
import { serverConfig, userOf } from './config.ts'
import {
  type ClusterState,
  exclusively,
  filesOf,
  makePrivate,
  mustReadState,
  type OwnToken,
  readState,
  type Settings,
  type Token,
  writePrivately,
  writeState,
} from './state.ts'
import { addToken, checkName, linkOf, newKeyPair, revokeToken } from './tokens.ts'

/** Tokens that every cluster has: what `dicomp up` prints, again each time. */
const PRINTED: readonly Role[] = ['node', 'client']
/** Names of those of `dicomp up` itself. */
const OWN = { node: 'up', driver: 'up-driver' } as const

/** Queues are short: clients send what the slots can take, and a little more. */
const MEMORY_SHARE = 1 / 4
const DISK_SHARE = 1 / 2
/** What a service manager or a container may promise and not have. */
const LEAST_BYTES = 256 << 20

export type Wanted = Omit<Settings, 'memoryLimit' | 'diskLimit'> &
  Partial<Pick<Settings, 'memoryLimit' | 'diskLimit'>>

/**
 * The cluster of this folder, with these settings; begun where there is none. Credentials and certificate stay.
 * @throws DicompError (DICOMP_E_FILE) the folder cannot be read or written, or is damaged
 */
export function openCluster(dir: string, wanted: Wanted): Promise<ClusterState> {
  makePrivate(dir)
  return exclusively(dir, () => {
    const before = readState(dir)
    const files = filesOf(dir)
    const settings: Settings = {
      ...wanted,
      memoryLimit: wanted.memoryLimit ?? before?.settings.memoryLimit ?? defaultMemoryLimit(),
      diskLimit: wanted.diskLimit ?? before?.settings.diskLimit ?? defaultDiskLimit(dir),
    }
    if (!existsSync(files.cert) || !existsSync(files.key)) {
      const { cert, key } = createCertificate([wanted.host, wanted.advertise])
      writePrivately(files.cert, cert)
      writePrivately(files.key, key)
    }
    const pin = pinOfPem(readFileSync(files.cert, 'utf8'))
    const state = before ? { ...before, settings, pin } : newState(settings, pin)
    for (const role of PRINTED) renewPrinted(dir, state, role)
    writeState(dir, state)
    return state
  })
}

export interface NewToken {
  token: Token
  link: string
  /** The server knows it already; otherwise it will when it starts. */
  live: boolean
}

/**
 * Adds a token while the cluster runs, or before.
 * @param expires milliseconds since 1970
 * @throws OptionError, DicompError (DICOMP_E_TOKEN, DICOMP_E_UP)
 */
export async function createToken(
  dir: string,
  wanted: { name: string; role: Role; expires?: number },
): Promise<NewToken> {
  let made: { token: Token; seed: string } | undefined
  const { state, live } = await changeState(dir, (state) => {
    made = addToken(state, wanted)
  })
  const { token, seed } = made as { token: Token; seed: string }
  return { token, link: linkOf(state, token, seed), live }
}

/**
 * A token for a nats-server that somebody else runs.
 * @param engine its link; the new one leads to the same server and pool
 * @returns with the user that has to be put into the configuration of that server
 */
export function foreignToken(
  engine: Link,
  { name, role, expires }: { name: string; role: Role; expires?: number },
): { link: string; user: ReturnType<typeof userOf> } {
  checkName(name)
  const { key, seed } = newKeyPair()
  const { servers, pool, pin, tls } = engine
  const link: Link = {
    ...{ servers, pool, tls, name, seed, role },
    ...(pin !== undefined && { pin }),
    ...(expires !== undefined && { expires: Math.floor(expires / 1000) }),
  }
  return { link: formatLink(link), user: userOf({ name, role, key }, pool) }
}

/**
 * Ends a token; when this returns, its connections are cut.
 * @throws DicompError (DICOMP_E_TOKEN, DICOMP_E_UP)
 */
export async function endToken(dir: string, name: string): Promise<{ token: Token; live: boolean }> {
  let ended: Token | undefined
  const { live } = await changeState(dir, (state) => {
    ended = revokeToken(state, name)
  })
  rmSync(filesOf(dir).link(name), { force: true })
  return { token: ended as Token, live }
}

/** Has the server let in exactly those whose tokens are valid now. */
export async function refresh(dir: string): Promise<void> {
  await changeState(dir, () => {})
}

function changeState(
  dir: string,
  change: (state: ClusterState) => void,
): Promise<{ state: ClusterState; live: boolean }> {
  mustReadState(dir) // a folder without a cluster gets no lock file
  return exclusively(dir, async () => {
    const state = mustReadState(dir)
    change(state)
    writeState(dir, state)
    writePrivately(filesOf(dir).config, serverConfig(state, dir))
    return { state, live: await reload(dir, state) }
  })
}

function newState(settings: Settings, pin: string): ClusterState {
  return {
    version: 1,
    cluster: randomBytes(6).toString('hex'),
    settings,
    pin,
    admin: newKeyPair(),
    own: { node: ownToken(OWN.node, 'node'), driver: ownToken(OWN.driver, 'client') },
    tokens: [],
  }
}

const ownToken = (name: string, role: Role): OwnToken => ({
  name,
  role,
  created: Date.now(),
  ...newKeyPair(),
})

/** Links are files too, so that a secret need not be in a command line or a journal. */
function renewPrinted(dir: string, state: ClusterState, role: Role): void {
  let token = state.tokens.find(({ name, revoked }) => name === role && revoked === undefined)
  if (token === undefined) {
    const made = addToken(state, { name: role, role })
    token = made.token
    token.seed = made.seed
  }
  if (token.seed !== undefined) {
    writePrivately(filesOf(dir).link(role), `${linkOf(state, token, token.seed)}\n`)
  }
}

function defaultMemoryLimit(): number {
  // Of a container, where it says so: Node.js gives a huge number where it does not.
  const constrained = process.constrainedMemory?.() ?? 0
  const total = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return Math.max(LEAST_BYTES, Math.floor(total * MEMORY_SHARE))
}

function defaultDiskLimit(dir: string): number {
  const { bavail, bsize } = statfsSync(dir)
  return Math.max(LEAST_BYTES, Math.floor(bavail * bsize * DISK_SHARE))
}
