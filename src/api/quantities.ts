/** Durations and sizes as people write them. */
import { OptionError } from '../errors.ts'

const MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }
const BYTES: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** A number of milliseconds, or text such as `250ms`, `30s`, `5m`, `2h`, `1d`. */
export type Duration = number | string
/** A number of bytes, or text such as `512MB`, `2GB`, `1.5GiB`. */
export type Size = number | string

/** Timers of JavaScript can run no longer; with more they would fire at once. */
const LONGEST_MS = 2 ** 31 - 1

/** Milliseconds. Throws OptionError. */
export function parseDuration(value: Duration, name: string): number {
  const ms = typeof value === 'number' ? value : measure(value, MS)
  if (ms === undefined || !(ms > 0 && ms <= LONGEST_MS)) {
    throw new OptionError(
      `Expected \`${name}\` to be a duration above 0 and up to 24 days (milliseconds, or text such as '30s'), got ${show(value)}`,
    )
  }
  return ms
}

/** Milliseconds, or undefined for no limit (undefined, Infinity). Throws OptionError. */
export function parseLimit(value: Duration | undefined, name: string): number | undefined {
  return value === undefined || value === Infinity ? undefined : parseDuration(value, name)
}

/** Bytes. Throws OptionError. */
export function parseSize(value: Size, name: string): number {
  const bytes = typeof value === 'number' ? value : measure(value, BYTES)
  if (bytes === undefined || !(bytes >= 1 && bytes < Infinity)) {
    throw new OptionError(
      `Expected \`${name}\` to be a size (bytes, or text such as '2GB'), got ${show(value)}`,
    )
  }
  return Math.floor(bytes)
}

function measure(text: unknown, units: Record<string, number>): number | undefined {
  if (typeof text !== 'string') return undefined
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*$/.exec(text)
  const unit = match?.[2]
  const factor =
    unit === undefined ? undefined : (units[unit] ?? units[unit.toUpperCase()] ?? units[unit.toLowerCase()])
  return factor === undefined ? undefined : Number(match?.[1]) * factor
}

/** A value in an error message: `0 (number)`. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return `'${value}' (string)`
  if (typeof value === 'function') return `${value.name || 'an anonymous function'} (function)`
  if (typeof value !== 'object') return `${String(value)} (${typeof value})`
  // String(value) would run code of the value, and say no more than [object Object].
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return `${typeof name === 'string' && name !== 'Object' ? `a value of class ${name}` : 'an object'} (object)`
}
