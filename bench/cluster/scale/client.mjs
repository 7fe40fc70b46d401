// A program that uses the cluster, by the public API. Does what it reads, line by line, and prints what came of it.
//   node client.mjs <file with the link>
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { connect } from 'dicomp'
import { check, percentile } from '../../child/measure.mjs'

/** A thousand nodes have just joined, perhaps with more to do than this computer can. */
async function join(link, attempts = 5) {
  try {
    return await connect(link)
  } catch (error) {
    if (attempts === 1) throw error
    return join(link, attempts - 1)
  }
}

const cluster = await join(readFileSync(process.argv[2], 'utf8').trim())
const identity = cluster.distribute((x) => x)

const deeds = {
  slots: () => ({ slots: cluster.slots }),
  /** One call after the other; until another line comes, if no number is given. */
  async latency({ calls }, more) {
    const micros = []
    while (calls === undefined ? !more() : micros.length < calls) {
      const from = performance.now()
      await identity(micros.length)
      micros.push((performance.now() - from) * 1000)
    }
    return {
      calls: micros.length,
      p50: percentile(micros, 0.5),
      p99: percentile(micros, 0.99),
      max: Math.max(...micros),
    }
  },
  async map({ count }) {
    const inputs = Array.from({ length: count }, (_, i) => i)
    const from = performance.now()
    const results = await identity.map(inputs)
    const seconds = (performance.now() - from) / 1000
    check(results.length === count && results.every((x, i) => x === i), 'every task has its own result')
    return { seconds }
  },
  async calls({ count }) {
    const from = performance.now()
    const results = await Promise.all(Array.from({ length: count }, (_, i) => identity(i)))
    const seconds = (performance.now() - from) / 1000
    check(results.length === count, 'results')
    return { seconds }
  },
}

const lines = []
let wake = () => {}
createInterface({ input: process.stdin })
  .on('line', (line) => {
    lines.push(JSON.parse(line))
    wake()
  })
  .on('close', () => process.exit(0))
process.stdout.write('ready\n')
for (;;) {
  const line = lines.shift()
  if (!line) await new Promise((resolve) => (wake = resolve))
  else if (deeds[line.do])
    process.stdout.write(`${JSON.stringify(await deeds[line.do](line, () => lines.length > 0))}\n`)
}
