/**
 * Names on the server. A token is what stands between two dots: no dots, spaces or wildcards.
 *
 * Who speaks is an *identity* of two tokens, `<user>.<random>`: the user is the name in the credentials, which
 * permissions can grant (`dicomp.c.laptop.*`), and each of its processes is another one.
 */
import { randomBytes } from 'node:crypto'

/** Everything of dicomp is below this. */
const NS = 'dicomp'

/** Which consumer a chunk waits for: urgent (priority > 0), normal, idle (< 0). */
export type Level = 'p0' | 'p1' | 'p2'
export const LEVELS: readonly Level[] = ['p0', 'p1', 'p2']
export const levelOf = (priority: number): Level => (priority > 0 ? 'p0' : priority < 0 ? 'p2' : 'p1')

/** Need of a task that any node satisfies. */
export const ANY = 'any'

export const subjects = {
  /** A chunk in the work queue. Client last: permissions are prefixes of it. */
  task: (pool: string, level: Level, need: string, client: string) =>
    `${NS}.t.${pool}.${level}.${need}.${client}`,
  /** What one consumer takes. */
  tasksOf: (pool: string, level: Level, need: string) => `${NS}.t.${pool}.${level}.${need}.>`,
  allTasks: (pool: string) => `${NS}.t.${pool}.>`,
  /**
   * A chunk to a node that idles. It names the pool: who may have code run in one, may not in another. Client last, as
   * above.
   */
  direct: (pool: string, node: string, client: string) => `${NS}.d.${pool}.${node}.${client}`,
  allDirect: (pool: string, node: string) => `${NS}.d.${pool}.${node}.>`,
  /** To one client: held, results, logs, progress. */
  client: (client: string) => `${NS}.c.${client}`,
  /** To one node, from a client: confirm, drop, drain. Client last: nobody speaks for another one. */
  node: (node: string, client: string) => `${NS}.n.${node}.${client}`,
  allOfNode: (node: string) => `${NS}.n.${node}.>`,
  /** From clients to all nodes of a pool: alive, bye. */
  clients: (pool: string, client: string) => `${NS}.a.${pool}.${client}`,
  allClients: (pool: string) => `${NS}.a.${pool}.>`,
  /** From nodes to all clients. */
  heartbeat: (pool: string, node: string) => `${NS}.hb.${pool}.${node}`,
  heartbeats: (pool: string) => `${NS}.hb.${pool}.>`,
  /** "Who is there?": nodes answer with a heartbeat at once. */
  roll: (pool: string) => `${NS}.roll.${pool}`,
} as const

/** Work queue of a pool. */
export const streamOf = (pool: string): string => `T_${pool}`
export const consumerOf = (level: Level, need: string): string => `${level}_${need}`
/** Object store of a pool. */
export const bucketOf = (pool: string): string => `dicomp_${pool}`
/** Inbox prefix of one identity: with the default `_INBOX` every user could read everyone's replies. */
export const inboxOf = (identity: string): string => `_INBOX_${identity}`

/** A new identity of a user. Where the server knows no users, any name will do. */
export const newIdentity = (user = 'anyone'): string => `${user}.${randomBytes(9).toString('base64url')}`
/** Whether a name may be an identity. */
export const isIdentity = (name: string): boolean => {
  const [user, id, ...more] = name.split('.')
  return isToken(user ?? '') && isToken(id ?? '') && more.length === 0
}

/** Whether a name may be a token of a subject, and a part of the name of a stream: letters, digits, `-` and `_`. */
export const isToken = (name: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(name)
