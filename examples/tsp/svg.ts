import type { Instance } from './tsplib.ts'

/** Draws a tour as an SVG document, y upwards as in the file, with one line of text below. */
export function drawTour(instance: Instance, tour: Int32Array, caption: string): string {
  const { x, y } = instance
  const [left, right] = range(x)
  const [bottom, top] = range(y)
  const scale = 960 / Math.max(right - left, top - bottom, Number.MIN_VALUE)
  const width = Math.round((right - left) * scale) + 40
  const height = Math.round((top - bottom) * scale) + 40
  const point = (city: number) => [
    (20 + ((x[city] as number) - left) * scale).toFixed(1),
    (20 + (top - (y[city] as number)) * scale).toFixed(1),
  ]
  const path = Array.from(tour, (city) => point(city).join(',')).join(' ')
  const radius = Math.max(1.2, Math.min(4, 60 / Math.sqrt(tour.length)))
  const dots = Array.from(tour, (city) => {
    const [cx, cy] = point(city)
    return `<circle cx="${cx}" cy="${cy}"/>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height + 24}" font-family="system-ui, sans-serif">
<rect width="100%" height="100%" fill="#fff"/>
<polygon points="${path}" fill="#e8f1fa" stroke="#1c6bb0" stroke-width="1.6" stroke-linejoin="round"/>
<g fill="#0b2a45" stroke="none"><g>${dots.join('').replaceAll('/>', ` r="${radius.toFixed(1)}"/>`)}</g></g>
<text x="20" y="${height + 10}" font-size="15" fill="#333">${escaped(caption)}</text>
</svg>
`
}

function range(values: Float64Array): [number, number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
