import { mulberry32 } from '../random.ts'
import { PIXELS } from './digits.ts'

const DIGITS = 10

/**
 * A network of one hidden layer, 784 – hidden – 10, with ReLU and softmax. All weights are in one Float32Array, so
 * that they (and their gradient, which has the same layout) travel as one piece of memory:
 * 784 × hidden, hidden biases, hidden × 10, 10 biases.
 */
export class Network {
  readonly hidden: number
  readonly weights: Float32Array
  readonly #activity: Float64Array
  readonly #error: Float64Array
  readonly #output = new Float64Array(DIGITS)

  constructor(hidden: number, weights: Float32Array = new Float32Array(sizeOf(hidden))) {
    this.hidden = hidden
    this.weights = weights
    this.#activity = new Float64Array(hidden)
    this.#error = new Float64Array(hidden)
  }

  /** Random weights as He et al. (2015) advise for ReLU: variance 2 / inputs. */
  static random(hidden: number, seed: number): Network {
    const network = new Network(hidden)
    const random = mulberry32(seed)
    // The sum of three uniform numbers is close enough to normal; variance 1.
    const normal = () => 2 * (random() + random() + random()) - 3
    const first = PIXELS * hidden
    const second = first + hidden
    for (let i = 0; i < first; i++) network.weights[i] = normal() * Math.sqrt(2 / PIXELS)
    for (let i = second; i < second + hidden * DIGITS; i++)
      network.weights[i] = normal() * Math.sqrt(2 / hidden)
    return network
  }

  /** Probability of each digit, valid until the next call. */
  forward(image: Float32Array): Float64Array {
    const { hidden, weights: w } = this
    const activity = this.#activity
    const output = this.#output
    const first = PIXELS * hidden
    for (let h = 0; h < hidden; h++) activity[h] = w[first + h] as number
    for (let i = 0; i < PIXELS; i++) {
      const ink = image[i] as number
      if (ink === 0) continue // four of five pixels are paper
      const row = i * hidden
      for (let h = 0; h < hidden; h++) activity[h] = (activity[h] as number) + ink * (w[row + h] as number)
    }
    const second = first + hidden
    const biases = second + hidden * DIGITS
    for (let o = 0; o < DIGITS; o++) output[o] = w[biases + o] as number
    for (let h = 0; h < hidden; h++) {
      const a = Math.max(0, activity[h] as number)
      activity[h] = a
      if (a === 0) continue
      for (let o = 0; o < DIGITS; o++) {
        output[o] = (output[o] as number) + a * (w[second + h * DIGITS + o] as number)
      }
    }
    let sum = 0
    const most = Math.max(...output)
    for (let o = 0; o < DIGITS; o++) sum += output[o] = Math.exp((output[o] as number) - most)
    for (let o = 0; o < DIGITS; o++) output[o] = (output[o] as number) / sum
    return output
  }

  /** The digit that the network sees. */
  read(image: Float32Array): number {
    const output = this.forward(image)
    return output.indexOf(Math.max(...output))
  }

  /** Adds the gradient of the cross-entropy for one image to `gradient`; returns the loss. */
  learn(image: Float32Array, label: number, gradient: Float32Array): number {
    const { hidden, weights: w } = this
    const activity = this.#activity
    const error = this.#error
    const output = this.forward(image)
    const loss = -Math.log(Math.max(output[label] as number, 1e-12))
    output[label] = (output[label] as number) - 1
    const first = PIXELS * hidden
    const second = first + hidden
    const biases = second + hidden * DIGITS
    const g = gradient
    for (let o = 0; o < DIGITS; o++) g[biases + o] = (g[biases + o] as number) + (output[o] as number)
    for (let h = 0; h < hidden; h++) {
      const a = activity[h] as number
      error[h] = 0
      if (a === 0) continue
      const row = second + h * DIGITS
      let sum = 0
      for (let o = 0; o < DIGITS; o++) {
        const e = output[o] as number
        sum += e * (w[row + o] as number)
        g[row + o] = (g[row + o] as number) + e * a
      }
      error[h] = sum
      g[first + h] = (g[first + h] as number) + sum
    }
    for (let i = 0; i < PIXELS; i++) {
      const ink = image[i] as number
      if (ink === 0) continue
      const row = i * hidden
      for (let h = 0; h < hidden; h++) g[row + h] = (g[row + h] as number) + ink * (error[h] as number)
    }
    return loss
  }
}

/** Number of weights. */
export const sizeOf = (hidden: number): number => PIXELS * hidden + hidden + hidden * DIGITS + DIGITS
