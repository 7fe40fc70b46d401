import { permissionsOf } from '../nats/permissions.ts'
import { bucketOf, streamOf } from '../nats/subjects.ts'
import { type ClusterState, filesOf, type Token } from './state.ts'
import { validTokens } from './tokens.ts'

/** Messages are much smaller (INLINE_BYTES, BLOB_CHUNK_BYTES); nats-server warns above this. */
const MAX_PAYLOAD = 8 << 20
/** A program that computes on its main thread does not read meanwhile: it is not cut off before this. */
const WRITE_DEADLINE = '30s'
/** Connections that are gone without a word are noticed after 45 s: until then a pull of theirs takes work. */
const PING_INTERVAL = '15s'
const PINGS = 2
/** Seconds for the handshake, and for the credentials after it: a busy computer takes its time. */
const HANDSHAKE_S = 10
const LOG_BYTES = 10 << 20
const LOGS = 3
/** Accounts: where the work is, and where the server tells of itself. */
const WORK = 'DICOMP'
const SYSTEM = 'SYS'

/** Where the server of a cluster says who it is, so that links of another one are noticed. */
export const serverName = (cluster: string): string => `dicomp-${cluster}`

/**
 * nats-server's configuration: JSON, which it takes, and in which nothing in a path or a name can be taken for syntax.
 * There is no user without a key, and a key may do only what its role needs.
 */
export function serverConfig(state: ClusterState, dir: string, now = Date.now()): string {
  const { host, port, memoryLimit, diskLimit, pool } = state.settings
  const files = filesOf(dir)
  const config = {
    server_name: serverName(state.cluster),
    host,
    port,
    pid_file: files.pid,
    log_file: files.log,
    logfile_size_limit: LOG_BYTES,
    logfile_max_num: LOGS,
    max_payload: MAX_PAYLOAD,
    write_deadline: WRITE_DEADLINE,
    ping_interval: PING_INTERVAL,
    ping_max: PINGS,
    tls: {
      cert_file: files.cert,
      key_file: files.key,
      // Nothing is said before the handshake, not even what server this is.
      handshake_first: true,
      min_version: '1.3',
      timeout: HANDSHAKE_S,
    },
    authorization: { timeout: HANDSHAKE_S },
    jetstream: {
      store_dir: files.store,
      max_memory_store: memoryLimit,
      max_file_store: diskLimit,
      // What the server has confirmed is on the disk. Queues are in memory, so this costs only stored values.
      sync_interval: 'always',
    },
    system_account: SYSTEM,
    accounts: {
      [SYSTEM]: { users: [{ nkey: state.admin.key }] },
      [WORK]: {
        jetstream: 'enabled',
        users: validTokens(state, now).map((token) => userOf(token, pool, token === state.own.node)),
      },
    },
  }
  return `${JSON.stringify(config, undefined, 2)}\n`
}

/**
 * A user in nats-server's configuration.
 * @param owner it may change the limits of what it laid out, too
 */
export function userOf(
  { name, role, key }: Pick<Token, 'name' | 'role' | 'key'>,
  pool: string,
  owner = false,
) {
  const { publish, subscribe } = permissionsOf(role, name, pool)
  const update = [streamOf(pool), `OBJ_${bucketOf(pool)}`].map((stream) => `$JS.API.STREAM.UPDATE.${stream}`)
  return {
    nkey: key,
    permissions: {
      publish: { allow: owner ? [...publish, ...update] : publish },
      subscribe: { allow: subscribe },
    },
  }
}
