// README of tinypool, "Using node:worker_threads"; its options are those of piscina, from which it is a fork.
import Tinypool from 'tinypool'

export function open({ slots, minimum }) {
  const pool = new Tinypool({
    filename: new URL('./tinypool.worker.mjs', import.meta.url).href,
    minThreads: minimum,
    maxThreads: slots,
    idleTimeout: 60_000,
  })
  return {
    call: (op, arg) => pool.run(arg, { name: op }),
    map: (op, inputs) => Promise.all(Array.from(inputs, (input) => pool.run(input, { name: op }))),
    move: (op, arg) => pool.run(arg, { name: `${op}Moved`, transferList: [arg.buffer] }),
  }
}
