import { parentPort } from 'node:worker_threads'
import { byName } from '../child/ops.mjs'

parentPort.on('message', ({ id, op, arg, move }) => {
  try {
    const result = byName[op](arg)
    parentPort.postMessage({ id, result }, move ? [result.buffer] : undefined)
  } catch (error) {
    parentPort.postMessage({ id, error })
  }
})
