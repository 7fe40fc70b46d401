import { Worker } from 'bullmq'
import { tasks } from '../node/tasks.mjs'

const [port, concurrency] = process.argv.slice(2).map(Number)
const work = ({ name, data: { arg } }) =>
  tasks[name](arg?.base64 === undefined ? arg : Buffer.from(arg.base64, 'base64'))

const worker = new Worker('bench', async (job) => work(job), {
  connection: { host: '127.0.0.1', port, maxRetriesPerRequest: null },
  concurrency,
})
worker.on('error', () => {})
await worker.waitUntilReady()
process.send('ready')
