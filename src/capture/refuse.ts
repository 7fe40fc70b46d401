/** How a refusal is told: what cannot travel, the whole way to it, and one thing to do about it. */
import { CaptureError } from '../errors.ts'

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
  throw new CaptureError(reason, `Cannot ship the distributed function: ${what}${way}`, path, fix)
}
