/**
 * What a cluster of `dicomp up` is: its name, where it listens, who may use it. One file, `cluster.json`, which its
 * owner alone can read; nats-server's configuration is made from it.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DicompError } from '../errors.ts'
import type { Role } from '../nats/link.ts'

export interface Settings {
  /** Address that the server listens at; `0.0.0.0` and `::` are all of this computer's. */
  host: string
  port: number
  /** What links name: this computer as others see it. */
  advertise: string
  pool: string
  /** Bytes that queues may take in the server's memory. */
  memoryLimit: number
  /** Bytes that stored values may take on its disk. */
  diskLimit: number
}

export interface Token {
  name: string
  role: Role
  /** Public key: the server knows no more. */
  key: string
  /** Milliseconds since 1970, as are the others. */
  created: number
  expires?: number
  revoked?: number
  /** Secret key, of those that `dicomp up` prints each time. Of others only the link has it. */
  seed?: string
}

/** Its secret is kept. */
export type OwnToken = Token & KeyPair

export interface KeyPair {
  key: string
  seed: string
}

export interface ClusterState {
  version: 1
  /** Random: links name it. */
  cluster: string
  settings: Settings
  /** Of the certificate. */
  pin: string
  /** Reloads the server and asks how it is; sees no data. */
  admin: KeyPair
  /** Of `dicomp up` itself: its node, and its driver of detached jobs. Not listed, not revocable. */
  own: { node: OwnToken; driver: OwnToken }
  tokens: Token[]
}

export const filesOf = (dir: string) => ({
  state: join(dir, 'cluster.json'),
  config: join(dir, 'server.conf'),
  log: join(dir, 'server.log'),
  pid: join(dir, 'server.pid'),
  cert: join(dir, 'cert.pem'),
  key: join(dir, 'key.pem'),
  store: join(dir, 'jetstream'),
  /** Who runs `dicomp up` here. */
  owner: join(dir, 'up.json'),
  link: (name: string) => join(dir, `${name}.link`),
})

/**
 * @returns undefined where no cluster was ever started
 * @throws DicompError (DICOMP_E_FILE) it cannot be read, or is damaged
 */
export function readState(dir: string): ClusterState | undefined {
  const file = filesOf(dir).state
  const fix = `restore ${file} from a backup, or remove ${dir}: a new cluster then begins, and all its links are new`
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new DicompError('DICOMP_E_FILE', `Cannot read ${file}: ${(error as Error).message}`, {
      fix: 'run as the user who started the cluster',
      cause: error,
    })
  }
  let state: Partial<ClusterState> | null
  try {
    state = JSON.parse(text) as Partial<ClusterState> | null
  } catch {
    throw new DicompError('DICOMP_E_FILE', `${file} is damaged: it is not JSON`, { fix })
  }
  if (!isWhole(state))
    throw new DicompError('DICOMP_E_FILE', `${file} is damaged: parts are missing`, { fix })
  return state
}

/** The state of a cluster that has to be there. */
export function mustReadState(dir: string): ClusterState {
  const state = readState(dir)
  if (state) return state
  throw new DicompError('DICOMP_E_UP', `No cluster was started in ${dir}`, {
    fix: 'start one with `npx dicomp up`, or name its folder with --data',
  })
}

export function writeState(dir: string, state: ClusterState): void {
  writePrivately(filesOf(dir).state, `${JSON.stringify(state, undefined, 2)}\n`)
}

/** Makes the folder where it is not there, for its owner alone. */
export function makePrivate(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new DicompError('DICOMP_E_FILE', `Cannot make ${dir}: ${(error as Error).message}`, {
      fix: 'name a folder that you may write to with --data',
      cause: error,
    })
  }
}

/** All of it or nothing, and readable by its owner alone. */
export function writePrivately(file: string, content: string): void {
  const half = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(half, content, { mode: 0o600, flush: true })
    renameSync(half, file)
  } catch (error) {
    rmSync(half, { force: true })
    throw new DicompError('DICOMP_E_FILE', `Cannot write ${file}: ${(error as Error).message}`, {
      fix: 'make room on its disk, and run as the user who started the cluster',
      cause: error,
    })
  }
}

/** A command that died in the middle leaves its lock; nothing takes as long as this. */
const STALE_MS = 30_000

/** Runs `change` while no other process changes the same cluster. */
export async function exclusively<T>(dir: string, change: () => T | Promise<T>): Promise<T> {
  const lock = `${filesOf(dir).state}.lock`
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx', mode: 0o600 })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new DicompError('DICOMP_E_FILE', `Cannot write in ${dir}: ${(error as Error).message}`, {
          fix: 'make room on its disk, and run as the user who started the cluster',
          cause: error,
        })
      }
      const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
      if (age > STALE_MS) rmSync(lock, { force: true })
      else await sleep(2 + 10 * Math.random())
    }
  }
  try {
    return await change()
  } finally {
    rmSync(lock, { force: true })
  }
}

function isWhole(state: Partial<ClusterState> | null): state is ClusterState {
  return (
    state?.version === 1 &&
    typeof state.cluster === 'string' &&
    typeof state.pin === 'string' &&
    typeof state.settings?.port === 'number' &&
    typeof state.admin?.seed === 'string' &&
    typeof state.own?.node?.seed === 'string' &&
    typeof state.own.driver?.seed === 'string' &&
    Array.isArray(state.tokens) &&
    state.tokens.every((token) => typeof token?.name === 'string' && typeof token.key === 'string')
  )
}
