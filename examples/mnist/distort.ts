import { mulberry32 } from '../random.ts'
import { SIDE } from './digits.ts'

/** How much an image may be turned (radians), scaled (part), slanted (part) and moved (pixels), either way. */
const TURN = 0.12
const SCALE = 0.1
const SLANT = 0.1
const MOVE = 1.5

/**
 * Draws an image again, a little turned, scaled, slanted and moved: another person's handwriting of the same digit.
 * 8,000 images are few; with this a network sees each of them once. Ink from 0 to 1; the same seed, the same image.
 */
export function distort(image: Uint8Array, seed: number, out: Float32Array): void {
  const random = mulberry32(seed)
  const between = (limit: number) => (2 * random() - 1) * limit
  const turn = between(TURN)
  const scaleX = 1 + between(SCALE)
  const scaleY = 1 + between(SCALE)
  const slant = between(SLANT)
  const middle = (SIDE - 1) / 2
  const moveX = middle + between(MOVE)
  const moveY = middle + between(MOVE)
  // From a pixel of the new image to where it comes from in the old one.
  const xx = Math.cos(turn) * scaleX
  const xy = (slant - Math.sin(turn)) * scaleX
  const yx = Math.sin(turn) * scaleY
  const yy = Math.cos(turn) * scaleY
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const x = moveX + (column - middle) * xx + (row - middle) * xy
      const y = moveY + (column - middle) * yx + (row - middle) * yy
      out[row * SIDE + column] = sample(image, x, y) / 255
    }
  }
}

/** The grey value between four pixels; paper outside of the image. */
function sample(image: Uint8Array, x: number, y: number): number {
  const left = Math.floor(x)
  const top = Math.floor(y)
  if (left < 0 || top < 0 || left >= SIDE - 1 || top >= SIDE - 1) return 0
  const at = top * SIDE + left
  const right = x - left
  const below = y - top
  const above = (image[at] as number) * (1 - right) + (image[at + 1] as number) * right
  const under = (image[at + SIDE] as number) * (1 - right) + (image[at + SIDE + 1] as number) * right
  return above * (1 - below) + under * below
}
