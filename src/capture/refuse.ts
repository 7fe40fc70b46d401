/** How a refusal is told: what cannot travel, the whole way to it, and one thing to do about it. */
import { CaptureError } from '../errors.ts'
import { isLibrary } from './resolve.ts'
import { pathOf } from './sourcemap.ts'

/** The rows of the catalogue in docs/capture.md. */
export type Reason =
  | 'NODE_OBJECT'
  | 'HOST_OBJECT'
  | 'PRIVATE_FIELDS'
  | 'SYMBOL'
  | 'VALUE'
  | 'NATIVE_FUNCTION'
  | 'NODE_INTERNAL'
  | 'LEXICAL_THIS'
  | 'LEXICAL_ARGUMENTS'
  | 'LEXICAL_NEW_TARGET'
  | 'SUPER'
  | 'PRIVATE_METHOD'
  | 'IMPORT_META'
  | 'EVAL'
  | 'DYNAMIC_IMPORT'
  | 'TDZ'
  | 'UNDEFINED'
  | 'GLOBAL'
  | 'NAMESPACE'
  | 'PARSE'
  | 'EXOTIC'
  | 'INSPECTOR'

/** What is wrong with something, apart from where it is. */
export interface Trouble {
  reason: Reason
  what: string
  fix: string
}

/**
 * A step on the way from the distributed function to something that it captures. The lines are made only when an
 * error needs them: positions go through source maps.
 */
export interface Trail {
  from: Trail | undefined
  lines: () => string[]
  /** The step leads to an instance, and from it to its class. */
  instance?: boolean
}

export function linesOf(trail: Trail | undefined): string[] {
  const steps: Trail[] = []
  for (let each = trail; each; each = each.from) steps.push(each)
  return steps.reverse().flatMap((step) => step.lines())
}

/** @throws CaptureError */
export function refuse(
  { reason, what, fix }: Trouble,
  trail: Trail | undefined,
  inside: string[] = [],
): never {
  const path = [...linesOf(trail), ...inside]
  const way = path.map((line, depth) => `\n${'  '.repeat(depth + 1)}${line}`).join('')
  const message = `Cannot ship the distributed function: ${what}${way}`
  throw fromCaller(() => new CaptureError(reason, message, path, fix))
}

/** Frames of this library between the caller and the place that refuses, at most. */
const OWN_FRAMES = 40

/** An error whose stack begins at the call of the distributed function. */
function fromCaller(make: () => CaptureError): CaptureError {
  const limit = Error.stackTraceLimit
  Reflect.set(Error, 'stackTraceLimit', limit + OWN_FRAMES)
  const error = make()
  const stack = error.stack ?? ''
  Reflect.set(Error, 'stackTraceLimit', limit)
  const start = `${error.name}: ${error.message}`
  if (!stack.startsWith(start)) return error
  const frames = stack.slice(start.length).split('\n').slice(1)
  const others = frames.filter((frame) => !isOwn(frame)).slice(0, limit)
  const value = [start, ...(others.length > 0 ? others : frames.slice(0, limit))].join('\n')
  Object.defineProperty(error, 'stack', { value, configurable: true, writable: true })
  return error
}

function isOwn(frame: string): boolean {
  const place = /(?:\(|at (?:async )?)([^()]+):\d+:\d+\)?$/.exec(frame)?.[1]
  return place !== undefined && !place.startsWith('node:') && isLibrary(pathOf(place))
}
