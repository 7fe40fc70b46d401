/** Who may use a cluster. A token is a name, a role and a key; the link that carries it is all that its user needs. */
import { nkeys } from '@nats-io/transport-node'
import { DicompError, OptionError } from '../errors.ts'
import { formatLink, type Link, type Role } from '../nats/link.ts'
import { isToken } from '../nats/subjects.ts'
import type { ClusterState, KeyPair, Token } from './state.ts'

export type TokenStatus = 'valid' | 'expired' | 'revoked'

export function newKeyPair(): KeyPair {
  const pair = nkeys.createUser()
  return { key: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) }
}

/**
 * Adds a token to the state. The name of one that is revoked or has expired can be given again.
 * @param expires milliseconds since 1970
 * @throws OptionError the name is none
 * @throws DicompError (DICOMP_E_TOKEN) a valid token has the name
 */
export function addToken(
  state: ClusterState,
  { name, role, expires, now = Date.now() }: { name: string; role: Role; expires?: number; now?: number },
): { token: Token; seed: string } {
  checkName(name)
  if (Object.values(state.own).some((own) => own.name === name)) {
    throw new DicompError('DICOMP_E_TOKEN', `"${name}" is the name of a token of the cluster itself`, {
      fix: 'take another name',
    })
  }
  const before = state.tokens.find((token) => token.name === name)
  if (before && statusOf(before, now) === 'valid') {
    throw new DicompError('DICOMP_E_TOKEN', `There is a token "${name}" already (role ${before.role})`, {
      fix: `take another name, or end that one first: npx dicomp token revoke ${name}`,
    })
  }
  const { key, seed } = newKeyPair()
  const token: Token = { name, role, key, created: now, ...(expires === undefined ? {} : { expires }) }
  state.tokens = [...state.tokens.filter((other) => other.name !== name), token]
  return { token, seed }
}

/** @throws OptionError a name that would mean something else in a subject */
export function checkName(name: string): void {
  if (isToken(name)) return
  throw new OptionError(
    `Expected the name of a token to be up to 64 letters, digits, - and _, got ${JSON.stringify(name.slice(0, 80))}`,
  )
}

/**
 * @throws DicompError (DICOMP_E_TOKEN) there is none with this name, or it is revoked already
 */
export function revokeToken(state: ClusterState, name: string, now = Date.now()): Token {
  const token = state.tokens.find((other) => other.name === name)
  if (!token || token.revoked !== undefined) {
    const names = state.tokens.filter((other) => other.revoked === undefined).map((other) => other.name)
    throw new DicompError(
      'DICOMP_E_TOKEN',
      token ? `The token "${name}" is revoked already` : `There is no token "${name}"`,
      { fix: `name one of: ${names.join(', ') || '(there is none)'}` },
    )
  }
  token.revoked = now
  delete token.seed
  return token
}

export function statusOf(token: Token, now = Date.now()): TokenStatus {
  if (token.revoked !== undefined) return 'revoked'
  return token.expires !== undefined && token.expires <= now ? 'expired' : 'valid'
}

/** Those that the server lets in. */
export function validTokens(state: ClusterState, now = Date.now()): Token[] {
  return [...Object.values(state.own), ...state.tokens].filter((token) => statusOf(token, now) === 'valid')
}

/** When the next token ends by itself, milliseconds since 1970. */
export function nextExpiry(state: ClusterState, now = Date.now()): number {
  return Math.min(...validTokens(state, now).map((token) => token.expires ?? Infinity))
}

/** What its user is given. */
export function linkOf(state: ClusterState, token: Token, seed: string): string {
  return formatLink(linkTo(state, token, seed, state.settings.advertise))
}

export function linkTo(state: ClusterState, token: Token, seed: string, host: string): Link {
  const { port, pool } = state.settings
  return {
    servers: [hostAndPort(host, port)],
    pool,
    name: token.name,
    seed,
    pin: state.pin,
    tls: true,
    role: token.role,
    cluster: state.cluster,
    ...(token.expires === undefined ? {} : { expires: Math.floor(token.expires / 1000) }),
  }
}

/** An IPv6 address has colons of its own. */
export const hostAndPort = (host: string, port: number): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`
