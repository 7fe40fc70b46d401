import { InvalidArgumentError } from 'commander'

/** Parsers of option values; commander turns their errors into a usage error that names the option. */

export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} up.`)
  }
}

/** A duration as the API takes it: `1500` (milliseconds), `30s`, `5m`, `2h`. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text)
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  const ms = Number(match?.[1]) * units[(match?.[2] ?? 'ms') as keyof typeof units]
  if (match && ms > 0 && Number.isFinite(ms)) return ms
  throw new InvalidArgumentError('It must be a duration like 30s, 5m, 2h or 1500 (milliseconds).')
}

/** Bytes: `500MB`, `2GB`, `1.5GiB`, or a plain number. */
export function size(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text)
  const power = ['', 'k', 'm', 'g', 't'].indexOf((match?.[2] ?? '').toLowerCase())
  const bytes = Math.round(Number(match?.[1]) * 1024 ** power)
  if (match && bytes > 0) return bytes
  throw new InvalidArgumentError('It must be a size like 500MB or 2GB.')
}
