// No parallelism: a plain `for` on the main thread.
import { byName } from '../child/ops.mjs'

export function open() {
  return {
    async map(op, inputs) {
      const fn = byName[op]
      const results = new inputs.constructor(inputs.length)
      for (let i = 0; i < inputs.length; i++) results[i] = fn(inputs[i])
      return results
    },
    bulk: true,
  }
}
