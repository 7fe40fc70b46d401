/**
 * Links: all that is needed to reach a cluster, in one line that can be copied.
 *
 * `dicomp://<name>:<secret>@host[:port][,host2[:port2]]/<pool>?pin=…&role=…&cluster=…&expires=…`
 *
 * The secret is an nkey seed or a password. `nats://` and `tls://` addresses of a server that already runs are
 * links, too.
 */
import { readFileSync } from 'node:fs'
import { DicompError, LinkError } from '../errors.ts'
import { isToken } from './subjects.ts'

/** What permissions on the server allow: submit work, do it, or look on. */
export type Role = 'client' | 'node' | 'viewer'
export const ROLES: readonly Role[] = ['client', 'node', 'viewer']

export interface Link {
  /** `host:port`, one or more of the same cluster. */
  servers: string[]
  /** @default 'main' */
  pool: string
  /** Name of the credentials: the user at the server. */
  name?: string
  /** Secret key of an nkey user, `SU…`. */
  seed?: string
  /** User and password, where there is no seed. */
  user?: string
  password?: string
  token?: string
  /** SHA-256 of the DER of the server's certificate, base64url: no other server is talked to. */
  pin?: string
  tls: boolean
  role?: Role
  /** Id of the cluster. */
  cluster?: string
  /** Seconds since 1970. */
  expires?: number
}

const DEFAULT_PORT = 4222
const DEFAULT_POOL = 'main'
const SEED = /^SU[A-Z2-7]{56}$/
const PIN = /^[A-Za-z0-9_-]{43}$/
const SHAPE = /^([a-z]+):\/\/(?:([^@/?#\s]*)@)?([^@/?#\s]+)(?:\/([^?#\s]*))?(?:\?([^#\s]*))?$/
const FIX = 'copy the whole link again as `dicomp up` or `dicomp token new` printed it'

/**
 * The link that is meant by `@file`, or by itself: links have secrets, which other users of a computer may see in
 * arguments, and other programs in the environment.
 * @throws DicompError DICOMP_E_FILE
 */
export function readLink(text: string): string {
  if (!text.startsWith('@')) return text
  try {
    return readFileSync(text.slice(1), 'utf8').trim()
  } catch (error) {
    throw new DicompError('DICOMP_E_FILE', `Cannot read the link: ${(error as Error).message}`, {
      fix: 'check the path and its permissions',
      cause: error,
    })
  }
}

/**
 * @param now milliseconds since 1970, for `expires`
 * @throws LinkError when it is malformed or has expired. Messages never have the secret.
 */
export function parseLink(text: string, now = Date.now()): Link {
  const match = SHAPE.exec(text.trim())
  if (!match) throw malformed('it is not of the form dicomp://name:secret@host:port/pool?pin=…')
  const [, scheme, access, hosts, path = '', query = ''] = match
  if (scheme !== 'dicomp' && scheme !== 'nats' && scheme !== 'tls')
    throw malformed('it begins with something else than dicomp://, nats:// or tls://')
  const pool = path === '' ? DEFAULT_POOL : path
  if (!isToken(pool)) throw malformed(`what follows the address is no name of a pool${shown(pool)}`)
  const parameters = new URLSearchParams(query)
  const link: Link = {
    servers: (hosts ?? '').split(',').map(serverOf),
    pool,
    ...credentials(scheme, access),
    tls: scheme === 'tls' || parameters.has('pin') || parameters.get('tls') === '1',
  }
  for (const [key, value] of parameters) readParameter(link, key, value)
  if (link.expires !== undefined && link.expires * 1000 <= now) {
    const when = new Date(link.expires * 1000).toISOString()
    throw new LinkError(
      `The link expired at ${when} (it is ${new Date(now).toISOString()} by the clock of this computer)`,
      'make a new one with `dicomp token new` where the cluster was started',
    )
  }
  return link
}

/** @returns the text that `parseLink` reads */
export function formatLink(link: Link): string {
  const plain = link.token !== undefined || (link.user !== undefined && !isToken(link.user))
  const access =
    link.token !== undefined
      ? [link.token]
      : link.seed !== undefined || link.password !== undefined
        ? [link.user ?? link.name ?? '', link.seed ?? link.password]
        : []
  const query = new URLSearchParams()
  if (link.pin !== undefined) query.set('pin', link.pin)
  else if (link.tls) query.set('tls', '1')
  if (link.role !== undefined) query.set('role', link.role)
  if (link.cluster !== undefined) query.set('cluster', link.cluster)
  if (link.expires !== undefined) query.set('expires', String(link.expires))
  const before = access.length > 0 ? `${access.map((part) => encodeURIComponent(part ?? '')).join(':')}@` : ''
  const after = query.size > 0 ? `?${query}` : ''
  return `${plain ? 'nats' : 'dicomp'}://${before}${link.servers.join(',')}/${link.pool}${after}`
}

/** Where a link leads, without its secret: for messages and logs. */
export function describeLink(link: Pick<Link, 'servers' | 'pool'>): string {
  return `${link.servers.join(', ')} (pool ${link.pool})`
}

function credentials(scheme: string, access: string | undefined): Partial<Link> {
  if (access === undefined || access === '') return {}
  const colon = access.indexOf(':')
  const [first, second] = (colon < 0 ? [access] : [access.slice(0, colon), access.slice(colon + 1)]).map(
    unescaped,
  )
  if (second === undefined) {
    if (scheme === 'dicomp') throw malformed('it has a name, but no secret before the @')
    return { token: first ?? '' }
  }
  if (scheme === 'dicomp' && !isToken(first ?? ''))
    throw malformed('the name before the : may have letters, digits, - and _ only')
  const name = isToken(first ?? '') ? { name: first ?? '' } : {}
  if (SEED.test(second)) return { ...name, seed: second }
  if (scheme === 'dicomp' && second.startsWith('SU') && second.length > 50)
    throw malformed('its secret is damaged (a part of it is missing?)')
  return { ...name, user: first ?? '', password: second }
}

function serverOf(text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text)
  const port = match?.[2] === undefined ? DEFAULT_PORT : Number(match[2])
  if (!match || port < 1 || port > 65_535) throw malformed('an address in it is no host:port')
  return `${match[1]}:${port}`
}

function readParameter(link: Link, key: string, value: string): void {
  switch (key) {
    case 'pin':
      if (!PIN.test(value)) throw malformed('the pin is damaged (43 letters, digits, - and _ are expected)')
      link.pin = value
      return
    case 'role':
      if (!ROLES.includes(value as Role))
        throw malformed(`the role${shown(value)} is none of ${ROLES.join(', ')}`)
      link.role = value as Role
      return
    case 'cluster':
      if (!isToken(value)) throw malformed('the id of the cluster is damaged')
      link.cluster = value
      return
    case 'expires':
      if (!/^\d{1,12}$/.test(value)) throw malformed('`expires` is not a time in seconds')
      link.expires = Number(value)
      return
    case 'tls':
      if (value !== '0' && value !== '1') throw malformed('`tls` is neither 0 nor 1')
      if (value === '0' && link.tls) throw malformed('`tls=0` contradicts the rest')
      return
    default:
      throw malformed(`it has an unknown part${shown(key)}`)
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw malformed('a % in it is followed by something else than two hexadecimal digits')
  }
}

/** Only what can be no piece of a secret is repeated: with a character too many, a secret can be anywhere. */
function shown(text: string): string {
  return /^[a-z]{1,12}$/.test(text) ? ` "${text}"` : ''
}

function malformed(why: string): LinkError {
  return new LinkError(`This is no link to a cluster: ${why}`, FIX)
}
