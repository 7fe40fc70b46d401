import type { Snapshot } from './snapshot.ts'
import { formatCount, formatDuration, formatRate } from './units.ts'
import { displayWidth, plain, truncate } from './width.ts'

export interface FormatOptions {
  /** Name of the job, printed first. */
  name?: string
  /** Width of the terminal; the line is never wider. @default 80 */
  columns?: number
  /** Use ANSI colours. @default false */
  colour?: boolean
}

type Colour = 'green' | 'red' | 'yellow' | 'dim' | 'bold'
const CODES: Record<Colour, [number, number]> = {
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
  dim: [2, 22],
  bold: [1, 22],
}

/** A piece of the line. The higher `keep`, the later it is dropped when the line is too wide. */
interface Part {
  text: string
  keep: number
  colour?: Colour
  /** What to try before it is dropped. */
  shorter?: string
}

/**
 * One line about a running job: bar, percentage, done/total, rate, time left, slots busy, failures. What does
 * not fit into `columns` is left out, least important first.
 */
export function formatProgress(snapshot: Snapshot, options: FormatOptions = {}): string {
  const { columns = 80, colour = false } = options
  const { total, failed } = snapshot
  const finished = countFinished(snapshot)
  const name = truncate(plain(options.name ?? ''), Math.max(8, Math.floor(columns / 3)))
  const parts: Part[] = []
  if (name) parts.push({ text: name, keep: 5, colour: 'bold' })
  if (total !== undefined && total > 0) {
    const fraction = Math.min(1, finished / total)
    parts.push({ text: bar(fraction, 20), shorter: bar(fraction, 10), keep: 1, colour: 'green' })
    parts.push({ text: `${Math.floor(fraction * 100)}%`, keep: 6 })
    parts.push({
      text: `${formatCount(finished)}/${snapshot.approximate ? '~' : ''}${formatCount(total)}`,
      keep: 4,
    })
  } else {
    parts.push({ text: `${formatCount(finished)} done`, keep: 6 })
  }
  if (snapshot.rate > 0) parts.push({ text: formatRate(snapshot.rate), keep: 3 })
  if (snapshot.etaMs !== undefined && finished > 0 && finished !== total) {
    parts.push({ text: `ETA ${formatDuration(snapshot.etaMs)}`, keep: 4 })
  }
  if (snapshot.slots > 0) {
    const busy = Math.min(snapshot.running, snapshot.slots)
    parts.push({ text: `${busy}/${snapshot.slots} slots`, keep: 2, colour: 'dim' })
  }
  if (failed > 0) parts.push({ text: `${formatCount(failed)} failed`, keep: 5, colour: 'red' })
  return join(parts, columns, colour)
}

/** The line that stays when a job has ended: how many, how long, how fast, what failed. */
export function formatSummary(snapshot: Snapshot, state: string, options: FormatOptions = {}): string {
  const { columns = 80, colour = false, name = '' } = options
  const ok = state === 'done' && snapshot.failed === 0
  const parts: Part[] = [{ text: ok ? '✔' : '✖', keep: 6, colour: ok ? 'green' : 'red' }]
  if (name)
    parts.push({ text: truncate(plain(name), Math.max(8, Math.floor(columns / 3))), keep: 5, colour: 'bold' })
  if (state !== 'done') parts.push({ text: state, keep: 5, colour: 'red' })
  parts.push({
    text: `${formatCount(countFinished(snapshot))} done in ${formatDuration(snapshot.elapsedMs)}`,
    keep: 6,
  })
  const rate = snapshot.elapsedMs > 0 ? (countFinished(snapshot) / snapshot.elapsedMs) * 1000 : 0
  if (rate > 0) parts.push({ text: formatRate(rate), keep: 3, colour: 'dim' })
  if (snapshot.failed > 0)
    parts.push({ text: `${formatCount(snapshot.failed)} failed`, keep: 5, colour: 'red' })
  return join(parts, columns, colour)
}

/** Tasks with an outcome. `done` counts the good ones. */
function countFinished(snapshot: Snapshot): number {
  return snapshot.done + snapshot.failed
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

function bar(fraction: number, width: number): string {
  const eighths = Math.floor(fraction * width * 8)
  const full = '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]
  return full + '░'.repeat(width - full.length)
}

function join(parts: Part[], columns: number, colour: boolean): string {
  const kept = [...parts]
  const width = () => kept.reduce((sum, part) => sum + displayWidth(part.text), 2 * (kept.length - 1))
  while (width() > columns && kept.length > 1) {
    const least = kept.reduce((a, b) => (b.keep < a.keep ? b : a))
    const { shorter, ...rest } = least
    kept.splice(kept.indexOf(least), 1, ...(shorter === undefined ? [] : [{ ...rest, text: shorter }]))
  }
  return kept.map((part) => paint(truncate(part.text, columns), colour ? part.colour : undefined)).join('  ')
}

/** Wraps the text in the codes of a colour, if one is given. */
export function paint(text: string, colour: Colour | undefined): string {
  if (!colour) return text
  const [on, off] = CODES[colour]
  return `\u001b[${on}m${text}\u001b[${off}m`
}
