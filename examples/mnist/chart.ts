/** Curves, for the terminal and as SVG. */

const BLOCKS = ' ▁▂▃▄▅▆▇█'

export interface Curve {
  label: string
  values: readonly number[]
  /** Bottom and top of the scale. */
  from: number
  to: number
  /** How to write a value. */
  format: (value: number) => string
}

/** One line of bars, for a curve that still grows. */
export const sparkline = (curve: Curve): string => bars(curve, 1)[0] as string

/** A bar chart of `rows` lines, with the scale at the left. */
export function chart(curve: Curve, rows: number): string {
  const { label, from, to, format } = curve
  const scale = [format(to), ...Array<string>(Math.max(0, rows - 2)).fill(''), format(from)]
  const width = Math.max(...scale.map((text) => text.length))
  const body = bars(curve, rows).map((line, i) => `${(scale[i] ?? '').padStart(width)} │${line}`)
  return [label, ...body, `${' '.repeat(width)} └${'─'.repeat(curve.values.length * 2)}`].join('\n')
}

function bars({ values, from, to }: Curve, rows: number): string[] {
  return Array.from({ length: rows }, (_, row) =>
    values
      .map((value) => {
        const part = Math.min(1, Math.max(0, (value - from) / (to - from || 1)))
        const eighths = Math.round(part * rows * 8) - (rows - 1 - row) * 8
        return (BLOCKS[Math.min(8, Math.max(0, eighths))] as string).repeat(2)
      })
      .join(''),
  )
}

/** Both curves over the epochs, as an SVG document. */
export function drawCurves(left: Curve, right: Curve, caption: string): string {
  const n = Math.max(2, left.values.length)
  const at = ({ from, to }: Curve, value: number, i: number) => {
    const part = Math.min(1, Math.max(0, (value - from) / (to - from || 1)))
    return `${(70 + (560 * i) / (n - 1)).toFixed(1)},${(300 - 260 * part).toFixed(1)}`
  }
  const line = (curve: Curve, colour: string) =>
    `<polyline points="${curve.values.map((value, i) => at(curve, value, i)).join(' ')}" fill="none" stroke="${colour}" stroke-width="2.5"/>`
  const scale = (curve: Curve, x: number, anchor: string, colour: string) =>
    [0, 0.25, 0.5, 0.75, 1]
      .map((part) => {
        const value = curve.format(curve.from + (curve.to - curve.from) * part)
        return `<text x="${x}" y="${304 - 260 * part}" text-anchor="${anchor}" fill="${colour}">${value}</text>`
      })
      .join('')
  const grid = [0, 0.25, 0.5, 0.75, 1]
    .map((part) => `<path d="M70 ${300 - 260 * part}H630" stroke="#ddd"/>`)
    .join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 370" font-family="system-ui, sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>${grid}
${line(left, '#c0392b')}${line(right, '#1c6bb0')}
${scale(left, 62, 'end', '#c0392b')}${scale(right, 638, 'start', '#1c6bb0')}
<text x="70" y="24" fill="#c0392b">${left.label}</text><text x="630" y="24" text-anchor="end" fill="#1c6bb0">${right.label}</text>
<text x="350" y="325" text-anchor="middle" fill="#333">epoch 1 to ${left.values.length}</text>
<text x="350" y="352" text-anchor="middle" font-size="15" fill="#333">${caption}</text>
</svg>
`
}
