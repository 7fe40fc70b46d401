import type { Scenario, Verdict } from './model.ts'
import { type Cell, inUnit, type Row } from './summary.ts'

const number = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 3 })

/** What a cell without a number looks like. */
const BLANK = new Set(['', '–'])

export function renderScenario(scenario: Scenario, rows: readonly Row[], style: 'text' | 'markdown'): string {
  const columns: { head: string; text: (row: Row) => string }[] = [
    { head: '', text: (row) => row.competitor },
  ]
  scenario.metrics.forEach((metric, i) => {
    columns.push({ head: headline(metric.title, metric.unit), text: (row) => value(row.cells[i]) })
    columns.push({ head: 'min – max', text: (row) => range(row.cells[i]) })
    columns.push({ head: 'vs dicomp', text: (row) => ratio(row.cells[i]) })
  })
  columns.push({
    head: 'n',
    text: (row) => `${row.runs}${row.disturbed ? ` (${row.disturbed} disturbed)` : ''}`,
  })
  columns.push({ head: '', text: (row) => row.notes.join('; ') })
  // A column in which nobody has anything is noise.
  const used = columns.filter(({ text }) => rows.some((row) => !BLANK.has(text(row))))
  const body = rows.map((row) => used.map(({ text }) => text(row)))
  return render([used.map(({ head }) => head), ...body], style)
}

export function renderVerdicts(verdicts: readonly Verdict[], style: 'text' | 'markdown'): string {
  const rows = verdicts.map(({ title, goal, unit, value, reached }) => [
    title,
    goal,
    value === undefined ? 'not measured' : inUnit(number.format(value), unit),
    reached === undefined ? '' : reached ? 'yes' : 'NO',
  ])
  return render([['target', 'goal', 'measured', 'reached'], ...rows], style)
}

function headline(title: string, unit: string): string {
  return unit === '' || title.endsWith(unit) ? title : `${title}, ${unit}`
}

function value(cell: Cell | undefined): string {
  return cell ? `${cell.atLeast ? '> ' : ''}${number.format(cell.value)}` : '–'
}

function range(cell: Cell | undefined): string {
  return cell && cell.low !== cell.high ? `${number.format(cell.low)} – ${number.format(cell.high)}` : ''
}

function ratio(cell: Cell | undefined): string {
  if (cell?.ratio === undefined) return ''
  return `${cell.atLeast ? '> ' : ''}${number.format(cell.ratio)}×`
}

function render(lines: readonly string[][], style: 'text' | 'markdown'): string {
  const head = lines[0] ?? []
  const widths = head.map((_, i) => Math.max(3, ...lines.map((line) => line[i]?.length ?? 0)))
  const pad = (text: string, i: number) =>
    i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)
  if (style === 'text') return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [head, rule, ...lines.slice(1)].map((line) => `| ${line.map(pad).join(' | ')} |`).join('\n')
}
