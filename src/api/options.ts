/** Every option of the public API, with its default and its bounds, and the check that they are kept. */
import { NO_RETRY, type RetryPolicy } from '../core/retry.ts'
import { OptionError } from '../errors.ts'
import type { SlotKind } from '../slot/protocol.ts'
import { type Duration, parseDuration, parseLimit, parseSize, type Size, show } from './quantities.ts'

/** When a task that throws is tried again. */
export interface RetryOptions {
  /** Executions after the first one. @default 0 */
  count?: number
  /** Which errors are worth another try. Runs here, on the real error. @default all of them */
  when?: (error: unknown) => boolean
  /** Pause before the first retry. @default 0 */
  delay?: Duration
  /** What the pause is multiplied by each time. @default 2 */
  factor?: number
  /** Longest pause. @default '30s' */
  maxDelay?: Duration
  /** Slots that one task may kill (crash, exit) before it fails with SlotCrashedError. @default 3 */
  crashes?: number
}

/** One piece of output of a task. */
export interface LogEntry {
  /** Index of the task in its job. */
  index: number
  stream: 'stdout' | 'stderr'
  text: string
}

/** How tasks run. Set with `distribute(fn, options)`, changed with `.with(options)`, or per `map`. */
export interface TaskOptions {
  /** For people: in progress, errors and logs. @default the function's name */
  name?: string
  /** Retries of tasks that throw: a count, or a policy. @default 0 */
  retries?: number | RetryOptions
  /** Longest run of one execution, counted from its start. @default none */
  timeout?: Duration
  /** Longest time until the result, queueing included. @default none */
  deadline?: Duration
  /** Higher goes first among what waits. @default 0 */
  priority?: number
  /** Most tasks of this job at the same time, from 1. @default as many as there are slots */
  concurrency?: number
  /** Cancels the work. */
  signal?: AbortSignal
  /** Where tasks run: threads of this process, or processes of their own, which may crash. @default 'thread' */
  isolation?: 'thread' | 'process'
  /** Memory that one slot may use, see docs/isolation.md. @default its share of 75 % of this computer's, heap only */
  memory?: Size
  /** What a node must be tagged with (`dicomp join --tags`). This computer alone has everything. @default none */
  tags?: string[]
  /** Environment variables of the slots, beside the usual ones (PATH, HOME, LANG, TZ, NODE_ENV, …). @default none */
  env?: Record<string, string>
  /** What tasks print: to the same stream here, nowhere, or to a function. @default 'inherit' */
  log?: 'inherit' | 'ignore' | ((entry: LogEntry) => void)
  /** Receives what tasks send with `task.progress(value)`. */
  onProgress?: (value: unknown, index: number) => void
}

/** Options of `stream`. */
export interface StreamOptions extends TaskOptions {
  /** Yield results in the order of the inputs instead of as they complete. @default false */
  ordered?: boolean
  /** Most inputs that are read and not yet yielded, from 1. @default adapts to the pace, up to 10000 */
  bufferSize?: number
}

/** Options of `submit` for a job that goes on without this program. */
export interface DetachedOptions extends TaskOptions {
  detached: true
  /** Its results wait for this long after its end. @default '7d' */
  keep?: Duration
}

/** Options after the check. */
export interface ResolvedOptions {
  name: string | undefined
  retry: RetryPolicy
  crashes: number
  timeout: number | undefined
  deadline: number | undefined
  priority: number
  concurrency: number
  signal: AbortSignal | undefined
  pool: SlotKind
  tags: string[]
  log: 'inherit' | 'ignore' | ((entry: LogEntry) => void)
  onProgress: ((value: unknown, index: number) => void) | undefined
}

const NAMES: Record<keyof TaskOptions, true> = {
  name: true,
  retries: true,
  timeout: true,
  deadline: true,
  priority: true,
  concurrency: true,
  signal: true,
  isolation: true,
  memory: true,
  tags: true,
  env: true,
  log: true,
  onProgress: true,
}
const RETRY_NAMES: Record<keyof RetryOptions, true> = {
  count: true,
  when: true,
  delay: true,
  factor: true,
  maxDelay: true,
  crashes: true,
}

/** Options over options; those of `more` count. Throws OptionError for what are none. */
export function mergeOptions(options: TaskOptions, more: TaskOptions): TaskOptions {
  checkNames(more, NAMES, 'options')
  return { ...options, ...more }
}

/** Checks options. Throws OptionError, which names the option, its bounds and what it was. */
export function resolveOptions(options: TaskOptions, defaults: Partial<TaskOptions> = {}): ResolvedOptions {
  checkNames(options, NAMES, 'options')
  const { isolation = defaults.isolation ?? 'thread', memory = defaults.memory } = options
  const {
    name,
    log = 'inherit',
    concurrency,
    priority = 0,
    signal,
    onProgress,
    env = {},
    tags = [],
  } = options
  const retries = retryOptions(options.retries)
  if (name !== undefined && typeof name !== 'string') fail('name', 'a string', name)
  if (isolation !== 'thread' && isolation !== 'process') fail('isolation', "'thread' or 'process'", isolation)
  if (typeof log !== 'function' && log !== 'inherit' && log !== 'ignore') {
    fail('log', "'inherit', 'ignore' or a function", log)
  }
  if (typeof priority !== 'number' || Number.isNaN(priority)) fail('priority', 'a number', priority)
  if (signal !== undefined && !(signal instanceof AbortSignal)) fail('signal', 'an AbortSignal', signal)
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    fail('onProgress', 'a function', onProgress)
  }
  checkEnv(env)
  checkTags(tags)
  return {
    name,
    retry: retryPolicy(retries),
    crashes: wholeNumber('retries.crashes', retries.crashes ?? 3, 1),
    timeout: parseLimit(options.timeout, 'timeout'),
    deadline: parseLimit(options.deadline, 'deadline'),
    priority,
    concurrency:
      concurrency === undefined || concurrency === Infinity
        ? Infinity
        : wholeNumber('concurrency', concurrency, 1),
    signal,
    pool: {
      isolation,
      memory: memory === undefined ? undefined : parseSize(memory, 'memory'),
      env: { ...(defaults.env && checkEnv(defaults.env)), ...env },
    },
    tags,
    log,
    onProgress,
  }
}

function retryOptions(retries: unknown): RetryOptions {
  if (retries === undefined) return {}
  if (typeof retries !== 'object' || retries === null) return { count: wholeNumber('retries', retries, 0) }
  checkNames(retries, RETRY_NAMES, 'retries')
  return retries
}

function retryPolicy(options: RetryOptions): RetryPolicy {
  const { count = NO_RETRY.count, when, delay, factor = NO_RETRY.factor, maxDelay } = options
  if (when !== undefined && typeof when !== 'function') fail('retries.when', 'a function', when)
  if (typeof factor !== 'number' || !(factor >= 1 && factor < Infinity)) {
    fail('retries.factor', 'a number from 1 up', factor)
  }
  return {
    count: wholeNumber('retries.count', count, 0),
    when,
    delay: delay === undefined || delay === 0 ? NO_RETRY.delay : parseDuration(delay, 'retries.delay'),
    factor,
    maxDelay: maxDelay === undefined ? NO_RETRY.maxDelay : parseDuration(maxDelay, 'retries.maxDelay'),
  }
}

/** A misspelt option would be ignored without a word. Throws OptionError. */
export function checkNames(options: unknown, names: Record<string, true>, what: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new OptionError(`Expected the ${what} to be an object, got ${show(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue
    throw new OptionError(
      `There is no option \`${name}\` in the ${what}; there are ${Object.keys(names).join(', ')}`,
    )
  }
}

function checkEnv(env: unknown): Record<string, string> {
  if (typeof env !== 'object' || env === null) fail('env', 'an object of strings', env)
  for (const [name, value] of Object.entries(env)) {
    if (typeof value !== 'string') fail(`env.${name}`, 'a string', value)
  }
  return env as Record<string, string>
}

function checkTags(tags: unknown): void {
  if (!Array.isArray(tags) || tags.length > 64) fail('tags', 'an array of at most 64 texts', tags)
  for (const tag of tags) {
    if (typeof tag !== 'string' || !/^[^\s,\p{Cc}\p{Cf}]{1,64}$/u.test(tag)) {
      fail('tags', 'an array of texts of up to 64 characters, without spaces and commas', tag)
    }
  }
}

/** True or false. Throws OptionError. */
export function flag(name: string, value: unknown): void {
  if (typeof value !== 'boolean') fail(name, 'true or false', value)
}

/** A whole number from `least` up. Throws OptionError. */
export function wholeNumber(name: string, value: unknown, least: number): number {
  if (!Number.isInteger(value) || (value as number) < least) {
    fail(name, `a whole number from ${least} up`, value)
  }
  return value as number
}

function fail(name: string, expected: string, value: unknown): never {
  throw new OptionError(`Expected \`${name}\` to be ${expected}, got ${show(value)}`)
}
