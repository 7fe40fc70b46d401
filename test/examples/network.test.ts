import { beforeAll, describe, expect, it } from 'vitest'
import { chart, sparkline } from '../../examples/mnist/chart.ts'
import { type Digits, loadDigits, PIXELS } from '../../examples/mnist/digits.ts'
import { distort } from '../../examples/mnist/distort.ts'
import { Network, sizeOf } from '../../examples/mnist/network.ts'

let data: { training: Digits; test: Digits }
beforeAll(() => {
  data = loadDigits()
}, 60_000)

const image = ({ images }: Digits, i: number) => images.subarray(i * PIXELS, (i + 1) * PIXELS)

describe('digits', () => {
  it('are 10,000, four fifths of each digit for training', () => {
    expect(data.training.count).toBe(7996)
    expect(data.test.count).toBe(2004)
    for (let digit = 0; digit < 10; digit++) {
      const [training, test] = [data.training, data.test].map(
        ({ labels }) => labels.filter((label) => label === digit).length,
      ) as [number, number]
      expect(training / (training + test)).toBeCloseTo(0.8, 2)
    }
  })

  it('no image of the test is in the training', () => {
    const text = (digits: Digits, i: number) => Buffer.from(image(digits, i)).toString('latin1')
    const training = new Set(Array.from({ length: data.training.count }, (_, i) => text(data.training, i)))
    expect(training.size).toBe(data.training.count)
    for (let i = 0; i < data.test.count; i++) expect(training.has(text(data.test, i))).toBe(false)
  })
})

describe('distort', () => {
  it('is the same for the same seed, another for another, and keeps most of the ink', () => {
    const [one, again, other] = [1, 1, 2].map((seed) => {
      const out = new Float32Array(PIXELS)
      distort(image(data.training, 5), seed, out)
      return out
    }) as [Float32Array, Float32Array, Float32Array]
    expect(again).toEqual(one)
    expect(other).not.toEqual(one)
    const ink = (values: Float32Array) => values.reduce((a, b) => a + b)
    const original = ink(Float32Array.from(image(data.training, 5), (grey) => grey / 255))
    for (const values of [one, other]) {
      expect(Math.min(...values)).toBeGreaterThanOrEqual(0)
      expect(Math.max(...values)).toBeLessThanOrEqual(1)
      expect(ink(values) / original).toBeGreaterThan(0.6)
      expect(ink(values) / original).toBeLessThan(1.5)
    }
  })
})

describe('Network', () => {
  const ink = () => Float32Array.from(image(data.training, 1234), (grey) => grey / 255)

  it('gives probabilities', () => {
    const output = Network.random(16, 1).forward(ink())
    expect(output.reduce((a, b) => a + b)).toBeCloseTo(1, 10)
    expect(Math.min(...output)).toBeGreaterThan(0)
  })

  it('has the gradient that finite differences have', () => {
    const network = Network.random(16, 3)
    const label = data.training.labels[1234] as number
    const gradient = new Float32Array(sizeOf(16))
    network.learn(ink(), label, gradient)
    const loss = () => network.learn(ink(), label, new Float32Array(sizeOf(16)))
    const step = 2 ** -9
    let compared = 0
    for (let i = 0; i < gradient.length; i += 13) {
      const kept = network.weights[i] as number
      network.weights[i] = kept + step
      const above = loss()
      network.weights[i] = kept - step
      const below = loss()
      network.weights[i] = kept
      expect(gradient[i], `weight ${i}`).toBeCloseTo((above - below) / (2 * step), 3)
      if (gradient[i] !== 0) compared++
    }
    expect(compared).toBeGreaterThan(10)
  })
})

describe('charts', () => {
  const curve = {
    label: 'loss',
    values: [0, 0.5, 1],
    from: 0,
    to: 1,
    format: (value: number) => value.toFixed(1),
  }

  it('a sparkline has a bar for each value', () => {
    expect(sparkline(curve)).toBe('  ▄▄██')
  })

  it('a chart has a scale', () => {
    expect(chart(curve, 2)).toBe(['loss', '1.0 │    ██', '0.0 │  ████', '    └──────'].join('\n'))
  })
})
