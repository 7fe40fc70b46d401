import { parentPort } from 'node:worker_threads'
import { byName } from '../child/ops.mjs'

parentPort.on('message', ({ op, inputs, results, next }) => {
  const fn = byName[op]
  for (let i = Atomics.add(next, 0, 1); i < inputs.length; i = Atomics.add(next, 0, 1))
    results[i] = fn(inputs[i])
  parentPort.postMessage('done')
})
