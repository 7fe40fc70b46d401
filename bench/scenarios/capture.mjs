// From a function value to code that a slot can load. `submit` captures and bundles before it returns; without
// inputs nothing runs. The first one also starts a slot in the background.
import { connect } from 'dicomp'

export async function run(_competitor, { slots }) {
  const cluster = await connect({ slots })
  const functions = [
    (x) => x + 1,
    (x) => x * 2,
    (x) => Math.sqrt(x),
    (x, y = 2) => x ** y,
    (text) => text.trim().split(' ').length,
    (list) => list.length,
  ]
  const took = functions.map((fn) => {
    const distributed = cluster.distribute(fn)
    const from = performance.now()
    distributed.submit([])
    return performance.now() - from
  })
  const next = took.slice(1).sort((a, b) => a - b)
  return { first: took[0], next: next[Math.floor(next.length / 2)] }
}
