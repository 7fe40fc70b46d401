// README of workerpool: "Dedicated workers" (registered methods, which its README prefers to stringified functions),
// `workerType: 'thread'`, `transfer` for arguments and `Transfer` for results. Workers start when they are needed.
import { fileURLToPath } from 'node:url'
import workerpool from 'workerpool'

export function open({ slots, minimum }) {
  const pool = workerpool.pool(fileURLToPath(new URL('./workerpool.worker.mjs', import.meta.url)), {
    workerType: 'thread',
    minWorkers: minimum,
    maxWorkers: slots,
  })
  return {
    call: (op, arg) => pool.exec(op, [arg]),
    map: (op, inputs) => Promise.all(Array.from(inputs, (input) => pool.exec(op, [input]))),
    move: (op, arg) => pool.exec(`${op}Moved`, [arg], { transfer: [arg.buffer] }),
  }
}
