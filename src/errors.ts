/**
 * Every error that dicomp itself raises, in one table. The class says what kind of thing went wrong, the code
 * names it for programs (`error.code`), the message says what happened, where, and the one thing to do about it.
 * `docs/errors.md` mirrors the table; a test compares the two.
 */

/** Symbol that marks an error class of dicomp, so that `instanceof` works across copies of the package. */
const BRAND = Symbol.for('dicomp.error')

/** code → what it means. The single source of `docs/errors.md`. */
export const ERRORS = {
  DICOMP_E_OPTION: 'An option or argument of an API call has a value that it cannot take.',
  DICOMP_E_NOT_A_FUNCTION: 'distribute() was given something that is not a function.',
  DICOMP_E_ENCODE: 'A value cannot travel between processes; `path` says where it is.',
  DICOMP_E_DECODE: 'Bytes that should be an encoded value are truncated, damaged or hostile.',
  DICOMP_E_CAPTURE:
    'A function, or something that it captures, cannot travel; the message has the capture path.',
  DICOMP_E_BUNDLE:
    'The code of a function could not be bundled (an import does not resolve, a syntax error).',
  DICOMP_E_LOAD: 'A slot could not load the code of a function.',
  DICOMP_E_CANCELLED: 'The job or call was cancelled before it had a result.',
  DICOMP_E_TIMEOUT: 'A task ran longer than its `timeout`.',
  DICOMP_E_DEADLINE: 'A task had no result when its `deadline` (queueing included) had passed.',
  DICOMP_E_SLOT_CRASHED: 'The thread or process that ran a task died.',
  DICOMP_E_OUT_OF_MEMORY: 'A task needed more memory than its slot may use.',
  DICOMP_E_NODE_LOST: 'Too many nodes were lost while they ran the task.',
  DICOMP_E_INPUT: 'The iterable of inputs threw while it was read.',
  DICOMP_E_CLOSED: 'The cluster was closed; it takes no more work.',
  DICOMP_E_MODULE: 'A module that should have a function to distribute has none, or is not there.',
  DICOMP_E_FILE: 'A file cannot be read or written; the message says which one and why.',
  DICOMP_E_LINE: 'A line of the input is not what it should be (JSON, UTF-8); the message has its number.',
  DICOMP_E_RESULT: 'The result of a task cannot be written as JSON.',
  DICOMP_E_RESUME: 'An interrupted run cannot be continued: its task, options, input or output is another.',
  DICOMP_E_LINK: 'The link to a cluster is malformed, expired or for another cluster.',
  DICOMP_E_CONNECT: 'No nats-server answers at the address of the cluster.',
  DICOMP_E_PIN: 'The server shows another certificate than the one that the link names.',
  DICOMP_E_ACCESS: 'The server refuses the credentials (wrong or revoked), or what was asked is not allowed.',
  DICOMP_E_SERVER: 'The server cannot be used: it is too old, lacks JetStream, or has something else there.',
  DICOMP_E_BLOB: 'Bytes in the object store are not there any more, are damaged, or do not come.',
  DICOMP_E_STORE_FULL: 'The object store or the work queue of the cluster has no room.',
  DICOMP_E_SERVER_MISSING: 'There is no nats-server on this computer, or only one that is too old.',
  DICOMP_E_UP: 'A cluster cannot be started here: its port or its folder is in use, or nats-server ends.',
  DICOMP_E_TOKEN: 'There is no token with this name, or there is one already.',
  DICOMP_E_NODE: 'There is no node with this name.',
  DICOMP_E_JOB: 'There is no detached job with this id (any more), or it cannot do now what was asked.',
} as const

export type ErrorCode = keyof typeof ERRORS

/** Base class of all errors of dicomp. `code` is stable; `fix` is the one thing to do about it. */
export class DicompError extends Error {
  readonly code: ErrorCode
  readonly fix: string | undefined

  constructor(code: ErrorCode, message: string, options: { fix?: string; cause?: unknown } = {}) {
    super(
      options.fix ? `${message}\n  Fix: ${options.fix}` : message,
      'cause' in options ? { cause: options.cause } : {},
    )
    this.code = code
    this.fix = options.fix
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true, writable: true })
    Object.defineProperty(this, BRAND, { value: new.target.name })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true
    const brand = (value as { [BRAND]?: string } | null | undefined)?.[BRAND]
    return brand !== undefined && (isBaseClass(this) || brand === this.name)
  }
}

/** Outside of the class: a class that names itself is renamed (`_DicompError`) by bundlers, and so are its errors. */
function isBaseClass(value: unknown): boolean {
  return value === DicompError
}

/** An option has a value out of its range. */
export class OptionError extends DicompError {
  constructor(message: string, fix?: string) {
    super('DICOMP_E_OPTION', message, fix ? { fix } : {})
  }
}

/** A value cannot travel. `path` names it, for example `args[0].list[1].conn`. */
export class EncodeError extends DicompError {
  readonly path: string
  constructor(path: string, what: string, fix: string) {
    super('DICOMP_E_ENCODE', `Cannot send ${path}: ${what}`, { fix })
    this.path = path
  }
}

/** Bytes are not a value that `encode` wrote. */
export class DecodeError extends DicompError {
  constructor(message: string) {
    super('DICOMP_E_DECODE', message)
  }
}

/** A function cannot travel. `reason` is the row of the catalogue (`docs/capture.md`), `path` the capture path. */
export class CaptureError extends DicompError {
  readonly reason: string
  readonly path: readonly string[]
  constructor(reason: string, message: string, path: readonly string[], fix: string) {
    super('DICOMP_E_CAPTURE', message, { fix })
    this.reason = reason
    this.path = path
  }
}

/** The code of a function could not be bundled. */
export class BundleError extends DicompError {
  constructor(message: string, options: { fix?: string; cause?: unknown } = {}) {
    super('DICOMP_E_BUNDLE', message, options)
  }
}

/** The slot could not load the bundle (a module threw while it was imported, a native addon is missing). */
export class LoadError extends DicompError {
  constructor(message: string, options: { fix?: string; cause?: unknown } = {}) {
    super('DICOMP_E_LOAD', message, options)
  }
}

/** The work was cancelled. `cause` is the reason that was given to `cancel()` or to the AbortSignal. */
export class CancelledError extends DicompError {
  constructor(message = 'The job was cancelled', cause?: unknown) {
    super('DICOMP_E_CANCELLED', message, cause === undefined ? {} : { cause })
  }
}

/** A task ran longer than its `timeout` (counted from the moment that it started). Milliseconds. */
export class TaskTimeoutError extends DicompError {
  readonly timeout: number
  constructor(timeout: number, what = 'The task') {
    super('DICOMP_E_TIMEOUT', `${what} ran longer than its timeout of ${timeout} ms`, {
      fix: 'give it more time with .with({ timeout }), or make the task smaller',
    })
    this.timeout = timeout
  }
}

/** The result was not there at the `deadline` (queueing included). Milliseconds. */
export class DeadlineError extends DicompError {
  readonly deadline: number
  constructor(deadline: number) {
    super('DICOMP_E_DEADLINE', `There was no result after the deadline of ${deadline} ms`, {
      fix: 'raise .with({ deadline }), or submit less at once',
    })
    this.deadline = deadline
  }
}

export interface SlotExit {
  /** Signal that ended the slot, for example `SIGSEGV`. */
  signal?: string | undefined
  exitCode?: number | undefined
  /** The last lines that the slot wrote to stderr. */
  stderrTail?: string | undefined
}

/** The slot that ran the task died, `attempts` times in all. */
export class SlotCrashedError extends DicompError {
  readonly signal: string | undefined
  readonly exitCode: number | undefined
  readonly stderrTail: string
  constructor(message: string, exit: SlotExit, cause?: unknown) {
    const tail = exit.stderrTail?.trim()
      ? `\n  last lines of stderr:\n    ${exit.stderrTail.trim().replaceAll('\n', '\n    ')}`
      : ''
    super('DICOMP_E_SLOT_CRASHED', message + tail, cause === undefined ? {} : { cause })
    this.signal = exit.signal
    this.exitCode = exit.exitCode
    this.stderrTail = exit.stderrTail ?? ''
  }
}

/** The slot ran out of memory while it ran the task. `limit` is in bytes, where one was set. */
export class OutOfMemoryError extends DicompError {
  readonly limit: number | undefined
  constructor(message: string, limit?: number, cause?: unknown) {
    super('DICOMP_E_OUT_OF_MEMORY', message, {
      fix: 'raise the limit with .with({ memory }), or let one task hold less at a time',
      ...(cause === undefined ? {} : { cause }),
    })
    this.limit = limit
  }
}

/** Nodes were lost with the task, so often that it may be what ends them. */
export class NodeLostError extends DicompError {
  readonly index: number
  constructor(name: string, index: number, losses: number) {
    super('DICOMP_E_NODE_LOST', `Task ${index} of '${name}' was on ${losses} nodes that were lost`, {
      fix: 'see whether it needs more memory than those computers have; .with({ memory }) limits it',
    })
    this.index = index
  }
}

/** The iterable of inputs threw; `cause` is what it threw, `index` how many inputs had been read. */
export class InputError extends DicompError {
  readonly index: number
  constructor(index: number, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super('DICOMP_E_INPUT', `The inputs threw after ${index} item(s): ${why}`, { cause })
    this.index = index
  }
}

/** The cluster (or the local engine) was closed. */
export class ClosedError extends DicompError {
  constructor() {
    super('DICOMP_E_CLOSED', 'The cluster is closed and takes no more work', { fix: 'connect() again' })
  }
}

/** A link to a cluster cannot be used. The message never has its secret. */
export class LinkError extends DicompError {
  constructor(message: string, fix: string) {
    super('DICOMP_E_LINK', message, { fix })
  }
}

/** There is no connection to the engine of the cluster; `code` tells which of the reasons. */
export class ConnectError extends DicompError {
  constructor(
    code: 'DICOMP_E_CONNECT' | 'DICOMP_E_PIN' | 'DICOMP_E_ACCESS' | 'DICOMP_E_SERVER',
    message: string,
    fix: string,
    cause?: unknown,
  ) {
    super(code, message, { fix, ...(cause === undefined ? {} : { cause }) })
  }
}

/** There is no nats-server here that could be started. */
export class ServerMissingError extends DicompError {
  constructor(message: string, fix: string) {
    super('DICOMP_E_SERVER_MISSING', message, { fix })
  }
}

/** Bytes could not be had from the object store, or not be put there. */
export class BlobError extends DicompError {
  constructor(
    message: string,
    options: { code?: 'DICOMP_E_BLOB' | 'DICOMP_E_STORE_FULL'; fix?: string; cause?: unknown } = {},
  ) {
    const { code = 'DICOMP_E_BLOB', ...rest } = options
    super(code, message, rest)
  }
}

/** There is no such node. */
export class NodeError extends DicompError {
  constructor(message: string, fix: string) {
    super('DICOMP_E_NODE', message, { fix })
  }
}

/** There is no such detached job, or it is not in a state in which it could do that. */
export class JobError extends DicompError {
  constructor(message: string, fix: string) {
    super('DICOMP_E_JOB', message, { fix })
  }
}
