// Two bare processes that do the same work and say nothing meanwhile: the bound of every efficiency.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { spin } from '../../child/ops.mjs'

export class Bare {
  static async start(slots) {
    const children = Array.from({ length: slots }, () => fork(fileURLToPath(import.meta.url), ['child']))
    await Promise.all(children.map((child) => once(child, 'message')))
    return new Bare(children)
  }

  constructor(children) {
    this.children = children
  }

  /** Milliseconds for `count` tasks, the same number in each process. */
  async measure(count, iterations) {
    const from = performance.now()
    const done = this.children.map((child) => once(child, 'message'))
    for (const child of this.children) child.send([count / this.children.length, iterations])
    await Promise.all(done)
    return performance.now() - from
  }

  stop() {
    for (const child of this.children) child.disconnect()
  }
}

if (process.argv[2] === 'child' && process.send) {
  spin(5_000_000)
  process.on('message', ([count, iterations]) => {
    for (let i = 0; i < count; i++) spin(iterations)
    process.send('done')
  })
  process.send('ready')
}
