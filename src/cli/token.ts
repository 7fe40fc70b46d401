import { resolve } from 'node:path'
import { OptionError } from '../errors.ts'
import { parseLink, type Role } from '../nats/link.ts'
import {
  createToken,
  defaultDataDir,
  endToken,
  foreignToken,
  mustReadState,
  statusOf,
  type Token,
} from '../server/index.ts'
import { EXIT } from './exit.ts'
import { readLinkText } from './link-text.ts'

export interface TokenOptions {
  role?: Role
  /** Milliseconds. */
  expires?: number
  /** Link of a nats-server that somebody else runs. */
  engine?: string
  data?: string
  json?: boolean
}

/** `dicomp token new|list|revoke`. Resolves to the exit code. */
export async function token(
  action: 'new' | 'list' | 'revoke',
  name: string | undefined,
  options: TokenOptions,
): Promise<number> {
  const dir = resolve(options.data ?? defaultDataDir())
  for (const option of ['role', 'expires', 'engine'] as const) {
    if (action !== 'new' && options[option] !== undefined) {
      throw new OptionError(`dicomp token ${action} takes no --${option}`)
    }
  }
  if (action === 'list') {
    if (name !== undefined) throw new OptionError('dicomp token list takes no name')
    return list(dir, options.json)
  }
  if (name === undefined) throw new OptionError(`dicomp token ${action} needs the name of the token`)
  return action === 'new' ? create(dir, name, options) : revoke(dir, name, options.json)
}

async function create(dir: string, name: string, options: TokenOptions): Promise<number> {
  const { role = 'client', expires, engine, json } = options
  const wanted = { name, role, ...(expires !== undefined && { expires: Date.now() + expires }) }
  if (engine !== undefined) return createForeign(engine, wanted, json)
  const made = await createToken(dir, wanted)
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...shown(made.token), link: made.link, live: made.live })}\n`)
    return EXIT.ok
  }
  const until = made.token.expires === undefined ? '' : `, until ${time(made.token.expires)}`
  process.stderr.write(
    `A link for "${name}" (${role}${until}). Whoever has it can do what a ${role} can; it is not shown again.\n${later(made.live)}`,
  )
  process.stdout.write(`${made.link}\n`)
  return EXIT.ok
}

/** Its permissions are for who runs the server to give. */
function createForeign(
  engine: string,
  wanted: { name: string; role: Role; expires?: number },
  json: boolean | undefined,
): number {
  const { link, user } = foreignToken(parseLink(readLinkText(engine, 'dicomp token new --engine')), wanted)
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...wanted, link, user })}\n`)
    return EXIT.ok
  }
  process.stderr.write(
    `A link for "${wanted.name}" (${wanted.role}); it is not shown again. It counts when this is among the users of the server's configuration:\n${JSON.stringify(user, undefined, 2)}\n`,
  )
  process.stdout.write(`${link}\n`)
  return EXIT.ok
}

async function revoke(dir: string, name: string, json: boolean | undefined): Promise<number> {
  const { token, live } = await endToken(dir, name)
  if (json) process.stdout.write(`${JSON.stringify({ ...shown(token), live })}\n`)
  else process.stderr.write(`The token "${name}" is revoked; its connections are cut.\n${later(live)}`)
  return EXIT.ok
}

function list(dir: string, json: boolean | undefined): number {
  const tokens = mustReadState(dir).tokens.map(shown)
  if (json) {
    process.stdout.write(`${JSON.stringify(tokens)}\n`)
    return EXIT.ok
  }
  const rows = tokens.map(({ name, role, status, created, expires }) => [
    name,
    role,
    status,
    created.slice(0, 16),
    expires?.slice(0, 16) ?? 'never',
  ])
  const table = [['NAME', 'ROLE', 'STATUS', 'CREATED (UTC)', 'EXPIRES (UTC)'], ...rows]
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  )
  for (const row of table) {
    process.stdout.write(
      `${row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    )
  }
  return EXIT.ok
}

/** Never a secret, nor the key. */
function shown(token: Token) {
  const { name, role, created, expires, revoked } = token
  return {
    name,
    role,
    status: statusOf(token),
    created: time(created),
    ...(expires === undefined ? {} : { expires: time(expires) }),
    ...(revoked === undefined ? {} : { revoked: time(revoked) }),
  }
}

const time = (ms: number): string => new Date(ms).toISOString()
const later = (live: boolean): string =>
  live ? '' : 'The cluster is not up now; this counts from its next start.\n'
