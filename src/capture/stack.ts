/**
 * Stacks of errors that were thrown in a slot, as if the code had run here: places in a bundle become places in
 * the files that a person wrote, what belongs to dicomp is left out, and the caller's own stack follows.
 */
import { sep } from 'node:path'
import { libraryRoot } from './library.ts'
import { knowsBundle, traceBundle } from './origins.ts'
import { pathOf } from './sourcemap.ts'
import type { Bundle } from './types.ts'

export interface StackContext {
  /** The bundle that ran; tells apart functions whose code is the same. */
  bundle?: Bundle | undefined
  /** Name of the distributed function, for the frame that is called by nobody else. */
  name?: string | undefined
}

export interface ErrorContext extends StackContext {
  /** `stack` of an Error made where the caller called; its header is ignored. */
  callerStack?: string | undefined
  /** Where the task ran, for people: `thread 1`. @default 'a slot' */
  slot?: string | undefined
}

/** A frame in a bundle: indent, name (or none), hash, line, column. */
const IN_BUNDLE = /^(\s*at )(?:(.*) \()?(?:[^\n]*[/\\])?([0-9a-f]{32})\.mjs(?:\?[^:()]*)?:(\d+):(\d+)\)?$/
const FRAME = /^\s*at /
/** The path or URL of any other frame. */
const LOCATION =
  /(?:^\s*at (?:async )?|\()((?:file:|node:|[/\\]|[A-Za-z]:[/\\])[^()]*?)(?::\d+)?(?::\d+)?\)?$/
const LIBRARY = /[/\\]node_modules[/\\]dicomp[/\\](?:dist|src)[/\\]|[/\\]dicomp[/\\]dist[/\\]/

/** `stack` with places of bundles traced back, and without the frames of what ran the bundle. */
export function mapStack(stack: string, { bundle, name }: StackContext = {}): string {
  const lines = stack.split('\n')
  let last = lines.length - 1
  while (last >= 0 && !IN_BUNDLE.test(lines[last] as string)) last--
  if (last < 0) return lines.filter((line) => !isLibrary(line)).join('\n')

  let traced = 0
  const mapped: string[] = []
  for (const [i, line] of lines.entries()) {
    const frame = IN_BUNDLE.exec(line)
    if (!frame) {
      // Below the last frame of the bundle is what called it: the runner, and what Node.js calls it with.
      const below = i > last && FRAME.test(line)
      if (!isLibrary(line) && !(below && isInternal(line, 'node:'))) mapped.push(line)
      continue
    }
    const [, indent, raw, hash, row, column] = frame as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
    ]
    const at = traceBundle(hash, Number(row), Number(column), bundle)
    if (at) {
      const place = `${at.file}:${at.line}:${at.column}`
      const shown = readableName(raw, i === last ? name : undefined)
      mapped.push(shown ? `${indent}${shown} (${place})` : `${indent}${place}`)
      traced++
    } else if (!knowsBundle(hash)) mapped.push(line)
  }
  // Rather a place in generated code than none.
  return traced > 0 ? mapped.join('\n') : lines.filter((line) => !isLibrary(line)).join('\n')
}

/**
 * Makes an error that came back from a slot read like one that was thrown here: maps its stack and those of its
 * `cause` and `errors`, and appends the caller's stack. Changes and returns the same object; what is no error is
 * returned as it is.
 */
export function reviveError<T>(error: T, context: ErrorContext): T {
  revive(error, context, new Set())
  if (hasStack(error) && context.callerStack !== undefined) {
    const caller = context.callerStack
      .split('\n')
      .filter((line) => FRAME.test(line) && !isLibrary(line) && !isInternal(line))
    const seam = `    at --- sent to ${context.slot ?? 'a slot'} by ---`
    if (caller.length > 0) setStack(error, [error.stack, seam, ...caller].join('\n'))
  }
  return error
}

function revive(error: unknown, context: StackContext, seen: Set<unknown>): void {
  if (typeof error !== 'object' || error === null || seen.has(error)) return
  seen.add(error)
  if (!hasStack(error)) return
  setStack(error, mapStack(error.stack, context))
  const { cause, errors, error: suppressing, suppressed } = error as Record<string, unknown>
  const inner = [cause, suppressing, suppressed, ...(Array.isArray(errors) ? errors : [])]
  for (const part of inner) revive(part, context, seen)
}

function hasStack(error: unknown): error is { stack: string } {
  return error instanceof Object && typeof (error as { stack?: unknown }).stack === 'string'
}

function setStack(error: object, stack: string): void {
  try {
    Object.defineProperty(error, 'stack', {
      value: stack,
      writable: true,
      configurable: true,
      enumerable: false,
    })
  } catch {
    // A frozen error keeps the stack that it has.
  }
}

/** What the engine calls a function that was given its name through a computed key says nothing. */
function readableName(raw: string | undefined, root: string | undefined): string | undefined {
  if (raw === undefined) return undefined
  const [, before = '', name = ''] = /^(async |new )?(.*)$/.exec(raw) ?? []
  if (!name.includes('<computed>')) return raw
  return root === undefined ? undefined : before + root
}

function isInternal(line: string, prefix = 'node:internal/'): boolean {
  return LOCATION.exec(line)?.[1]?.startsWith(prefix) === true || / \(native\)$|<anonymous>\)?$/.test(line)
}

/** Whether the line is a frame of dicomp itself. */
function isLibrary(line: string): boolean {
  const location = FRAME.test(line) ? LOCATION.exec(line)?.[1] : undefined
  if (location === undefined) return false
  const file = pathOf(location)
  const root = libraryRoot()
  const own =
    root !== undefined &&
    (file.startsWith(`${root}${sep}dist${sep}`) || file.startsWith(`${root}${sep}src${sep}`))
  return own || LIBRARY.test(file)
}
