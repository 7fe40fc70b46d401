// No library: node:worker_threads as its documentation shows it (nodejs.org/api/worker_threads.html), one message
// per task, an id per message, workers taken in turn. What a careful person writes by hand in twenty lines.
import { Worker } from 'node:worker_threads'

export function open({ slots }) {
  const file = new URL('./raw.worker.mjs', import.meta.url)
  const workers = []
  const pending = new Map()
  let id = 0
  let turn = 0

  function start() {
    const worker = new Worker(file)
    worker.on('message', (message) => {
      const { resolve, reject } = pending.get(message.id)
      pending.delete(message.id)
      if ('error' in message) reject(message.error)
      else resolve(message.result)
    })
    worker.on('error', (error) => {
      for (const { reject } of pending.values()) reject(error)
    })
    return worker
  }

  function post(message, transfer) {
    const at = turn++ % slots
    workers[at] ??= start()
    return new Promise((resolve, reject) => {
      message.id = id++
      pending.set(message.id, { resolve, reject })
      workers[at].postMessage(message, transfer)
    })
  }

  const call = (op, arg) => post({ id: 0, op, arg, move: false })
  return {
    call,
    map: (op, inputs) => Promise.all(Array.from(inputs, (input) => call(op, input))),
    move: (op, arg) => post({ id: 0, op, arg, move: true }, [arg.buffer]),
  }
}
