/** What is stored of a detached job. Frames of the codec: whatever else is found there is no job. */
import { randomInt } from 'node:crypto'
import { decode, encode, fromFrame, toFrame } from '../codec/index.ts'
import type { RetryPolicy } from '../core/retry.ts'
import type { TaskSpec } from '../engine/engine.ts'

/** Bytes in the stream of results, in pieces. */
export interface Kept {
  id: string
  size: number
  pieces: number
  /** Hex SHA-256. */
  hash: string
}

/** Encoded arguments of consecutive tasks: the frame of a payload. */
export interface Page {
  start: number
  count: number
  kept: Kept
}

/** What the job is; never changed. */
export interface JobRecord {
  version: 1
  id: string
  /** Who submitted it: the name in the credentials. */
  user: string
  /** Milliseconds since 1970, by the clock of who submitted it. */
  submittedAt: number
  /** Its results wait for this long after its end, milliseconds. */
  keepMs: number
  /** Longest time from its submission to its end, milliseconds. */
  deadline: number | undefined
  total: number
  /** What its tasks print is kept. */
  logs: boolean
  retry: Omit<RetryPolicy, 'when'>
  spec: Omit<TaskSpec, 'id' | 'program'>
  program: {
    name: string
    code: Kept
    natives: { name: string; version: string; optional: boolean }[]
    /** A frame. */
    env: Kept
  }
  pages: Page[]
}

/** What users want of it. */
export interface Want {
  cancel: boolean
  /** Counts retries: failures of earlier rounds are tried again. */
  round: number
}

export type DetachedState = 'queued' | 'running' | 'cancelling' | 'done' | 'failed' | 'cancelled'
export type OverState = 'done' | 'failed' | 'cancelled'

/** How it is, as its driver sees it. */
export interface Status {
  state: 'running' | OverState
  round: number
  done: number
  failed: number
  retries: number
  running: number
  queued: number
  slots: number
  /** Why nothing of it runs. */
  waiting: string | undefined
  /** Milliseconds since 1970, by the clock of the driver. */
  startedAt: number
  endedAt: number | undefined
  /** Number of the last message with outcomes. */
  end: number
  /** Why the job itself ended early: the frame of an error. */
  error: Uint8Array | undefined
  /** Who drives it. */
  driver: string
}

/** Outcomes of consecutive tasks. */
export interface Entry {
  start: number
  count: number
  attempt: number
  /** Offsets of tasks whose element is an error. */
  failed: number[]
  /** Offsets of tasks whose element counts for nothing. */
  ignore: number[]
  /** Where they ran, for people. */
  slot: string
  /** The frame of a payload. */
  payload: { inline: Uint8Array } | { kept: Kept }
}

/** A message with outcomes. */
export interface Outcomes {
  round: number
  entries: Entry[]
}

/** What tasks have printed. */
export interface LogLine {
  index: number
  stream: 'stdout' | 'stderr'
  text: string
  /** Milliseconds since 1970. */
  at: number
}

export const NO_WISH: Want = { cancel: false, round: 0 }

export const isOver = (state: DetachedState): state is OverState =>
  state === 'done' || state === 'failed' || state === 'cancelled'

export const write = (value: JobRecord | Want | Status | Outcomes | LogLine[]): Uint8Array =>
  toFrame(encode(value))

export const readRecord = (bytes: Uint8Array): JobRecord | undefined => read(bytes, isRecord)
export const readWant = (bytes: Uint8Array): Want | undefined => read(bytes, isWant)
export const readStatus = (bytes: Uint8Array): Status | undefined => read(bytes, isStatus)
export const readOutcomes = (bytes: Uint8Array): Outcomes | undefined => read(bytes, isOutcomes)
export const readLog = (bytes: Uint8Array): LogLine[] | undefined => read(bytes, isLog)

/** A name of a job for people: `solve-k3f9x2m7qa`. */
export function newDetachedId(name: string): string {
  const slug = name
    .replace(/\.\w+$/, '')
    .replace(/[^A-Za-z0-9_]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
  const random = Array.from({ length: 10 }, () => randomInt(36).toString(36)).join('')
  return `${slug || 'job'}-${random}`
}

function read<T>(bytes: Uint8Array, is: (value: unknown) => value is T): T | undefined {
  try {
    const value = decode(fromFrame(bytes))
    return is(value) ? value : undefined
  } catch {
    return undefined
  }
}

type Fields = Record<string, unknown>
const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isTime = (value: unknown): value is number => typeof value === 'number' && value >= 0
const isText = (value: unknown): value is string => typeof value === 'string'
const isMaybe = (value: unknown, is: (value: unknown) => boolean): boolean => value === undefined || is(value)
const isListOf = (value: unknown, is: (value: unknown) => boolean): value is unknown[] =>
  Array.isArray(value) && value.every(is)

function isKept(value: unknown): boolean {
  if (!isObject(value)) return false
  const { id, size, pieces, hash } = value
  return isText(id) && /^[\w-]{1,64}$/.test(id) && isCount(size) && isCount(pieces) && isText(hash)
}

function isRecord(value: unknown): value is JobRecord {
  if (!isObject(value) || value.version !== 1) return false
  const { id, user, submittedAt, keepMs, deadline, total, retry, spec, program, pages } = value
  if (!isText(id) || !isText(user) || !isTime(submittedAt) || !isTime(keepMs) || !isCount(total)) return false
  if (typeof value.logs !== 'boolean' || !isMaybe(deadline, isTime)) return false
  if (!isObject(retry) || !isObject(spec) || !isObject(program)) return false
  const counts = [retry.count, retry.delay, retry.factor, retry.maxDelay, spec.cap, spec.crashes]
  if (!counts.every(isTime) || !isText(spec.name) || !isObject(spec.pool)) return false
  if (typeof spec.priority !== 'number' || !isTime(spec.concurrency)) return false
  if (!isMaybe(spec.tags, (tags) => isListOf(tags, isText)) || !isMaybe(spec.pool.memory, isTime))
    return false
  if (!isKept(program.code) || !isKept(program.env) || !isText(program.name)) return false
  const native = (each: unknown) => isObject(each) && isText(each.name) && isText(each.version)
  if (!isListOf(program.natives, native)) return false
  let next = 0
  const page = (each: unknown) => {
    if (!isObject(each) || each.start !== next || !isCount(each.count) || !isKept(each.kept)) return false
    next += each.count
    return true
  }
  return isListOf(pages, page) && next === total
}

function isWant(value: unknown): value is Want {
  return isObject(value) && typeof value.cancel === 'boolean' && isCount(value.round)
}

function isStatus(value: unknown): value is Status {
  if (!isObject(value)) return false
  const { state, round, done, failed, retries, running, queued, slots, end, startedAt, endedAt } = value
  const numbers = [round, done, failed, retries, running, queued, slots, end]
  if (!numbers.every(isCount) || !isTime(startedAt) || !isMaybe(endedAt, isTime)) return false
  if (!isMaybe(value.waiting, isText) || !isText(value.driver)) return false
  if (!isMaybe(value.error, (error) => error instanceof Uint8Array)) return false
  return isText(state) && ['running', 'done', 'failed', 'cancelled'].includes(state)
}

function isOutcomes(value: unknown): value is Outcomes {
  return isObject(value) && isCount(value.round) && isListOf(value.entries, isEntry)
}

function isEntry(value: unknown): boolean {
  if (!isObject(value)) return false
  const { start, count, attempt, failed, ignore, slot, payload } = value
  if (!isCount(start) || !isCount(count) || !isCount(attempt) || !isText(slot)) return false
  const isOffset = (at: unknown): boolean => isCount(at) && at < count
  if (!isListOf(failed, isOffset) || !isListOf(ignore, isOffset) || !isObject(payload)) return false
  return payload.inline instanceof Uint8Array || isKept(payload.kept)
}

function isLog(value: unknown): value is LogLine[] {
  return isListOf(
    value,
    (line) =>
      isObject(line) &&
      isCount(line.index) &&
      isText(line.text) &&
      isTime(line.at) &&
      (line.stream === 'stdout' || line.stream === 'stderr'),
  )
}
