/** Options of a captured handle, as text: they are configuration, so they may be part of the code. */
import type { HandleEntity } from './graph.ts'
import { refuse } from './refuse.ts'
import type { Walk } from './walk.ts'

/** Registers the functions in the options of a handle (`retries.when`). @throws CaptureError for what is no data */
export function handleOptions(walk: Walk, handle: HandleEntity): void {
  visit(walk, handle, handle.options, '.options')
}

function visit(walk: Walk, handle: HandleEntity, value: unknown, path: string): void {
  if (typeof value === 'function') {
    const trail = { from: handle.trail, lines: () => [path] }
    handle.functions.set(value, walk.entity(value, trail))
    return
  }
  if (typeof value === 'symbol' || (typeof value === 'object' && value !== null && !isData(value))) {
    const name = typeof value === 'symbol' ? 'symbol' : (value.constructor?.name ?? 'object')
    refuse(
      {
        reason: 'NODE_OBJECT',
        what: `an option of a captured distributed function is a ${name}, which is tied to this process`,
        fix: 'leave it out, and give it where the function is called: handle.with({ … })',
      },
      handle.trail,
      [path],
    )
  }
  if (typeof value === 'object' && value !== null)
    for (const [key, item] of Object.entries(value)) visit(walk, handle, item, `${path}.${key}`)
}

function isData(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value)
  return Array.isArray(value) || proto === null || proto === Object.prototype
}

/** The options as an expression; `nameOf` gives the names of functions in the entry. */
export function optionsText(value: unknown, nameOf: (fn: unknown) => string): string {
  if (typeof value === 'function') return nameOf(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined'
  if (Array.isArray(value)) return `[${value.map((item) => optionsText(item, nameOf)).join(', ')}]`
  const entries = Object.entries(value).map(
    ([key, item]) => `[${JSON.stringify(key)}]: ${optionsText(item, nameOf)}`,
  )
  return `{ ${entries.join(', ')} }`
}
