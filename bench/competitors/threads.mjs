// Two bare threads and no pool: the inputs are in shared memory, each thread takes the next index from a shared
// counter, nothing is sent between the start and the end. The bound for the efficiency of any pool.
import { Worker } from 'node:worker_threads'

export function open({ slots }) {
  const file = new URL('./threads.worker.mjs', import.meta.url)
  const workers = Array.from({ length: slots }, () => new Worker(file))
  return {
    async map(op, inputs) {
      const shared = new Float64Array(new SharedArrayBuffer(inputs.length * 8))
      shared.set(inputs)
      const results = new Float64Array(new SharedArrayBuffer(inputs.length * 8))
      const next = new Int32Array(new SharedArrayBuffer(4))
      await Promise.all(
        workers.map((worker) => {
          worker.postMessage({ op, inputs: shared, results, next })
          return new Promise((resolve) => worker.once('message', resolve))
        }),
      )
      return results
    },
    bulk: true,
  }
}
