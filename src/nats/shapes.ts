/**
 * What messages must look like. Anybody who has credentials may publish anything on the subjects that they grant:
 * what passes here can be used without looking again, but it may still be a lie.
 */
import type { MessageType } from './messages.ts'
import { isIdentity } from './subjects.ts'

type Check = (value: unknown) => boolean

/** Most tasks of one message. More than any chunk has; keeps loops over them short. */
const MOST_TASKS = 2 ** 28
const MOST_TAGS = 64

const object = (fields: Record<string, Check>): Check => {
  const entries = Object.entries(fields)
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    entries.every(([key, check]) => check((value as Record<string, unknown>)[key]))
}
const tuple =
  (...checks: Check[]): Check =>
  (value) =>
    Array.isArray(value) && value.length === checks.length && checks.every((check, i) => check(value[i]))
const list =
  (check: Check, most = Number.POSITIVE_INFINITY): Check =>
  (value) =>
    // Array.from: holes are elements, too.
    Array.isArray(value) && value.length <= most && Array.from(value).every(check)
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const both =
  (a: Check, b: Check): Check =>
  (value) =>
    a(value) && b(value)
const oneOf =
  (...values: unknown[]): Check =>
  (value) =>
    values.includes(value)

const bool: Check = (value) => typeof value === 'boolean'
const string: Check = (value) => typeof value === 'string'
const bytes: Check = (value) => value instanceof Uint8Array
/** 0, 1, 2, … */
const index: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const count: Check = (value) => index(value) && (value as number) >= 1 && (value as number) <= MOST_TASKS
const finite: Check = (value) => Number.isFinite(value)
/** Infinity is one. */
const positive: Check = (value) => typeof value === 'number' && value > 0
const duration: Check = (value) => finite(value) && (value as number) >= 0
const identity: Check = (value) => typeof value === 'string' && isIdentity(value)
/** Is shown to people: nothing that a terminal would obey. */
const label: Check = (value) =>
  typeof value === 'string' && value.length <= 256 && !/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(value)
const hash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
/** What code imports: a package, a file in one, or either in a version of its own. Part of a command of npm. */
const packageName: Check = (value) =>
  typeof value === 'string' &&
  /^(?:@[a-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*(?:\/(?!\.{1,2}(?:\/|$))[\w.+-]+)*(?:@[\w.+-]+)?$/.test(value) &&
  value.length <= 500
const version: Check = (value) => typeof value === 'string' && /^\d[\w.+-]{0,127}$/.test(value)

export const isBlobRef: Check = object({ hash, size: index })
const where: Check = (value) =>
  typeof value === 'object' &&
  value !== null &&
  ('inline' in value ? bytes(value.inline) : 'blob' in value && isBlobRef(value.blob))
const tags = list(label, MOST_TAGS)
const need = object({ tags: optional(tags), memory: optional(index) })

/** [job, chunk] */
const chunk = tuple(index, index)
const tasks = { job: index, chunk: index, start: index, count }
const confirmations = list(tuple(index, index, index))
const numbered = { node: identity, ...tasks, seq: index, last: bool }

/** Offsets of tasks, in ascending order, below `count`. */
const offsets =
  (key: string): Check =>
  (message) => {
    const { count, [key]: values } = message as { count: number; [key: string]: unknown }
    let before = -1
    return list((value) => index(value) && (value as number) < count && before < (before = value as number))(
      values,
    )
  }

export const SHAPES: Record<MessageType, Check> = {
  task: both(
    object({
      client: identity,
      ...tasks,
      attempt: count,
      tail: optional(bool),
      spec: optional(bytes),
      payload: where,
      got: optional(confirmations),
    }),
    offsets('skip'),
  ),
  held: object({ node: identity, chunks: list(chunk) }),
  full: object({ node: identity, chunks: list(chunk) }),
  result: both(
    // None: what is left of the chunk is handed back.
    object({ ...numbered, count: index, attempt: count, ms: duration, payload: where, slot: label }),
    offsets('failed'),
  ),
  lost: object({ ...numbered, attempt: optional(count), error: bytes }),
  log: object({
    node: identity,
    job: index,
    chunk: index,
    index,
    stream: oneOf('stdout', 'stderr'),
    text: string,
  }),
  progress: object({ node: identity, job: index, chunk: index, index, value: bytes }),
  confirm: object({ client: identity, got: confirmations }),
  drop: object({ client: identity, chunks: list(chunk) }),
  dropTasks: object({ client: identity, job: index, chunk: index, start: index, end: index }),
  forget: object({ client: identity, job: index }),
  drain: object({}),
  alive: object({ client: identity, needs: list(need) }),
  bye: object({ client: identity }),
  heartbeat: object({
    node: identity,
    name: label,
    startedAt: finite,
    state: oneOf('working', 'draining', 'left'),
    slots: index,
    free: index,
    tags,
    memory: index,
    host: object({ os: label, arch: label, cpus: index, runtime: label, dicomp: label, load: finite }),
    protocol: index,
    held: list(tuple(identity, index, index)),
  }),
}

const program = object({
  id: index,
  name: string,
  code: isBlobRef,
  natives: list(object({ name: packageName, version, optional: bool })),
  env: where,
})

export const isSpec: Check = object({
  id: string,
  name: string,
  program,
  spread: bool,
  priority: finite,
  cap: positive,
  solo: bool,
  timeout: optional(duration),
  concurrency: positive,
  crashes: index,
  pool: object({
    isolation: oneOf('thread', 'process'),
    memory: optional(index),
    env: (value) => object({})(value) && Object.values(value as object).every(string),
  }),
})

/** See payloadFrame(). */
export const isPayload: Check = (value) => {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [kind, data] = value
  if (kind === 0) return data instanceof Float64Array || list((each) => typeof each === 'number')(data)
  return (
    kind === 1 &&
    list(
      tuple(
        bytes,
        list((each) => each instanceof ArrayBuffer),
      ),
    )(data)
  )
}
