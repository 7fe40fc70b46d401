import { InvalidArgumentError } from 'commander'

/** Parsers of option values; commander turns their errors into a usage error that names the option. */

export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} up.`)
  }
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new InvalidArgumentError('It must be a number.')
}

export function port(text: string): number {
  const value = wholeNumber(1)(text)
  if (value <= 65_535) return value
  throw new InvalidArgumentError('It must be a port: 1 to 65535.')
}

/** A duration as the API takes it: `30s`, `5m`, `2h`, or a number of milliseconds. */
export function duration(text: string): number | string {
  if (!/^\d+(\.\d+)?(ms|s|m|min|h|d)?$/.test(text) || Number.parseFloat(text) === 0) {
    throw new InvalidArgumentError('It must be a duration like 30s, 5m, 2h or 1500 (milliseconds).')
  }
  return /[a-z]$/.test(text) ? text : Number(text)
}

/** A span of time that may be long, in milliseconds: `30s`, `12h`, `7d`, `52w`. */
export function lifetime(text: string): number {
  const [, count, unit = ''] = /^(\d+)(s|m|h|d|w)$/.exec(text) ?? []
  const seconds = Number(count) * ({ s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }[unit] ?? Number.NaN)
  if (seconds > 0 && seconds < 1e10) return seconds * 1000
  throw new InvalidArgumentError('It must be a time like 30m, 12h, 7d or 52w.')
}

/** A size as the API takes it: `500MB`, `2GB`, `1.5GiB`. */
export function size(text: string): string {
  if (/^\d+(\.\d+)?\s*[KMGT]i?B$/i.test(text) && Number.parseFloat(text) > 0) return text
  throw new InvalidArgumentError('It must be a size like 500MB or 2GB.')
}

/** Tags: `gpu,big`. */
export function tagList(text: string): string[] {
  const tags = text.split(',')
  if (tags.every((tag) => /^[^\s,\p{Cc}\p{Cf}]{1,64}$/u.test(tag))) return tags
  throw new InvalidArgumentError('It must be tags like gpu,big: up to 64 characters each, without spaces.')
}

/** Collects `NAME=value` and `NAME` (its value here) into one object. */
export function environment(text: string, before: Record<string, string> = {}): Record<string, string> {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text : text.slice(0, equals)
  const value = equals < 0 ? process.env[text] : text.slice(equals + 1)
  if (!name) throw new InvalidArgumentError('It must be NAME or NAME=value.')
  if (value === undefined)
    throw new InvalidArgumentError(`There is no variable ${name} here; give it a value: ${name}=value.`)
  return { ...before, [name]: value }
}
