/**
 * What each role may do at the server. One link may be used by many processes of one user; everything is granted to
 * the user's name, the first token of their identities.
 *
 * The pool is the boundary of trust. Who may submit has code run on every node of it, and all who may use its object
 * store share that. Nodes make the work queue again after the server has lost it, so a hostile node can make it wrong:
 * machines and people that do not trust each other need a cluster each (or an account each, on a server of their own).
 * A client cannot pose as a node, a node cannot submit, nobody reads what is sent to another user.
 */
import { detachedForClients, detachedForNodes, detachedSubscriptions } from './detached.ts'
import { ROLES, type Role } from './link.ts'
import { bucketOf, inboxOf, isToken, streamOf } from './subjects.ts'

export interface Permissions {
  /** Subjects, with wildcards, for `permissions.publish.allow` of a user. */
  publish: string[]
  /** For `permissions.subscribe.allow`. */
  subscribe: string[]
}

/**
 * @param user name of the credentials, or an identity with it
 * @throws TypeError when a name is no token: it would grant more than it says
 */
export function permissionsOf(role: Role, user: string, pool: string): Permissions {
  const [name = ''] = user.split('.')
  if (!isToken(name) || !isToken(pool) || !ROLES.includes(role))
    throw new TypeError(`No permissions for "${role}" "${user}" "${pool}"`)
  const { publish, subscribe } = GRANTS[role](name, pool)
  return { publish, subscribe: [...subscribe, `${inboxOf(name)}.>`] }
}

const GRANTS: Record<Role, (user: string, pool: string) => Permissions> = {
  client: (user, pool) => ({
    publish: [
      `dicomp.t.${pool}.*.*.${user}.*`,
      `dicomp.d.${pool}.*.*.${user}.*`,
      `dicomp.n.*.*.${user}.*`,
      `dicomp.a.${pool}.${user}.*`,
      `dicomp.roll.${pool}`,
      '$JS.API.INFO',
      `$JS.API.STREAM.INFO.${streamOf(pool)}`,
      `$JS.API.CONSUMER.INFO.${streamOf(pool)}.*`,
      ...blobs(pool),
      `$JS.API.STREAM.PURGE.OBJ_${bucketOf(pool)}`,
      ...detachedForClients(pool),
    ],
    subscribe: [`dicomp.c.${user}.*`, `dicomp.hb.${pool}.>`, ...detachedSubscriptions(pool)],
  }),
  node: (user, pool) => ({
    publish: [
      'dicomp.c.*.*',
      `dicomp.hb.${pool}.${user}.*`,
      // Whose names are taken.
      `dicomp.roll.${pool}`,
      '$JS.API.INFO',
      `$JS.API.STREAM.INFO.${streamOf(pool)}`,
      `$JS.API.STREAM.CREATE.${streamOf(pool)}`,
      `$JS.API.CONSUMER.CREATE.${streamOf(pool)}.>`,
      `$JS.API.CONSUMER.INFO.${streamOf(pool)}.*`,
      `$JS.API.CONSUMER.MSG.NEXT.${streamOf(pool)}.*`,
      // Two forms: servers may put their domain and account in front (2.14 and later).
      `$JS.ACK.${streamOf(pool)}.>`,
      `$JS.ACK.*.*.${streamOf(pool)}.>`,
      `$JS.API.STREAM.CREATE.OBJ_${bucketOf(pool)}`,
      ...detachedForNodes(pool),
      ...blobs(pool),
    ],
    subscribe: [
      `dicomp.d.${pool}.${user}.*.>`,
      `dicomp.n.${user}.*.>`,
      `dicomp.a.${pool}.>`,
      `dicomp.roll.${pool}`,
      `dicomp.hb.${pool}.>`,
    ],
  }),
  viewer: (_, pool) => ({
    publish: [`dicomp.roll.${pool}`],
    subscribe: [`dicomp.hb.${pool}.>`],
  }),
}

/** Put and get. */
function blobs(pool: string): string[] {
  const bucket = bucketOf(pool)
  return [
    `$O.${bucket}.C.*`,
    `$O.${bucket}.M.*`,
    `$JS.API.STREAM.INFO.OBJ_${bucket}`,
    `$JS.API.DIRECT.GET.OBJ_${bucket}`,
    `$JS.API.DIRECT.GET.OBJ_${bucket}.>`,
  ]
}
