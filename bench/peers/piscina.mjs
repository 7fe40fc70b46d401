// docs/docs/api-reference/class.md of piscina: workers are kept by `minThreads` = `maxThreads` (its page warns that
// the default idle timeout costs performance), `recordTiming: false` turns its histograms off. Atomics: its default.
import { Piscina } from 'piscina'

export function open({ slots, minimum }) {
  const pool = new Piscina({
    filename: new URL('./piscina.worker.mjs', import.meta.url).href,
    minThreads: minimum,
    maxThreads: slots,
    idleTimeout: 60_000,
    recordTiming: false,
  })
  return {
    call: (op, arg) => pool.run(arg, { name: op }),
    map: (op, inputs) => Promise.all(Array.from(inputs, (input) => pool.run(input, { name: op }))),
    move: (op, arg) => pool.run(arg, { name: `${op}Moved`, transferList: [arg.buffer] }),
  }
}
