import type { Cluster } from 'dicomp'
import { mulberry32 } from '../random.ts'
import { type Digits, PIXELS } from './digits.ts'
import { distort } from './distort.ts'
import { Network } from './network.ts'

export interface TrainOptions {
  epochs: number
  /** Images of one step, over all slots. */
  batch: number
  /** Parts of a batch, each one task. The result depends on this, not on the number of slots. */
  shards: number
  hidden: number
  seed: number
  /** Learning rate at the beginning; falls to 0 in a straight line. */
  rate?: number
  momentum?: number
}

/** How far it is, after every epoch. */
export interface Epoch {
  epoch: number
  /** Mean cross-entropy over the training images (distorted) of this epoch. */
  loss: number
  /** Part of the test images read correctly. */
  accuracy: number
  /** Time of the epoch's steps, without the test. */
  seconds: number
  weights: Float32Array
}

/**
 * Data-parallel training. In every step the weights go out to all slots, each slot computes the gradient of its
 * part of the batch, and the sum makes one step of stochastic gradient descent. The parts are summed in a fixed
 * order, so that any number of slots gives the same weights, to the last bit.
 */
export async function* train(
  cluster: Cluster,
  data: { training: Digits; test: Digits },
  options: TrainOptions,
): AsyncGenerator<Epoch> {
  const { epochs, batch, shards, hidden, seed, rate = 0.4, momentum = 0.9 } = options
  const { training, test } = data
  const { weights } = Network.random(hidden, seed)
  const speed = new Float32Array(weights.length)
  const order = Int32Array.from({ length: training.count }, (_, i) => i)
  const random = mulberry32(seed + 1)
  const steps = Math.ceil(training.count / batch)

  // The images are captured: they go to each slot once. Only weights and image numbers travel with every step.
  const gradientOf = cluster.distribute(
    (part: Part) => partGradient(new Network(hidden, part.weights), training, part),
    { name: 'gradient' },
  )
  const rightIn = cluster.distribute(
    (part: TestPart) => countRight(new Network(hidden, part.weights), test, part),
    { name: 'test' },
  )

  for (let epoch = 1; epoch <= epochs; epoch++) {
    const begin = performance.now()
    shuffle(order, random)
    let loss = 0
    for (let step = 0; step < steps; step++) {
      const images = order.subarray(step * batch, (step + 1) * batch)
      const parts: Part[] = cut(images.length, shards).map(([from, to]) => ({
        weights,
        images: images.slice(from, to),
        seed: seed + epoch,
      }))
      const results = await gradientOf.map(parts)
      const done = ((epoch - 1) * steps + step) / (epochs * steps)
      const stride = (rate * (1 - done)) / images.length
      descend(
        weights,
        speed,
        results.map((result) => result.gradient),
        stride,
        momentum,
      )
      for (const result of results) loss += result.loss
    }
    const seconds = (performance.now() - begin) / 1000
    const right = await rightIn.map(cut(test.count, shards).map(([from, to]) => ({ weights, from, to })))
    const accuracy = right.reduce((sum, n) => sum + n, 0) / test.count
    yield { epoch, loss: loss / training.count, accuracy, seconds, weights: weights.slice() }
  }
}

interface Part {
  weights: Float32Array
  images: Int32Array
  seed: number
}

interface TestPart {
  weights: Float32Array
  from: number
  to: number
}

/** Runs in a slot: the sum of the gradients of some images. */
function partGradient(
  network: Network,
  { images, labels }: Digits,
  part: Part,
): { gradient: Float32Array; loss: number } {
  const gradient = new Float32Array(network.weights.length)
  const ink = new Float32Array(PIXELS)
  let loss = 0
  for (const i of part.images) {
    distort(images.subarray(i * PIXELS, (i + 1) * PIXELS), Math.imul(part.seed, 1_000_003) + i, ink)
    loss += network.learn(ink, labels[i] as number, gradient)
  }
  return { gradient, loss }
}

/** Runs in a slot: how many of some images the network reads correctly. */
function countRight(network: Network, { images, labels }: Digits, { from, to }: TestPart): number {
  let right = 0
  for (let i = from; i < to; i++) {
    const ink = Float32Array.from(images.subarray(i * PIXELS, (i + 1) * PIXELS), (grey) => grey / 255)
    if (network.read(ink) === labels[i]) right++
  }
  return right
}

/** One step: v ← momentum · v − stride · Σ gradients; w ← w + v. */
function descend(
  weights: Float32Array,
  speed: Float32Array,
  gradients: Float32Array[],
  stride: number,
  momentum: number,
): void {
  const [sum, ...others] = gradients as [Float32Array, ...Float32Array[]]
  for (const gradient of others)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number)
  for (let i = 0; i < weights.length; i++) {
    const v = momentum * (speed[i] as number) - stride * (sum[i] as number)
    speed[i] = v
    weights[i] = (weights[i] as number) + v
  }
}

/** `[0, length)` in at most `parts` pieces of almost the same size. */
function cut(length: number, parts: number): [from: number, to: number][] {
  const pieces = Math.min(parts, length)
  return Array.from({ length: pieces }, (_, i) => [
    Math.floor((i * length) / pieces),
    Math.floor(((i + 1) * length) / pieces),
  ])
}

function shuffle(order: Int32Array, random: () => number): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const kept = order[i] as number
    order[i] = order[j] as number
    order[j] = kept
  }
}
