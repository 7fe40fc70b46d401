/**
 * Submits one job of a plan as a detached one, says its id, and dies at once.
 *
 * usage: node --import tsx test/chaos/submitter.ts <link> <folder of the run> <file of the plan> <number of the job>
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cluster } from '../../src/api/cluster.ts'
import { NatsEngine } from '../../src/engine/nats/engine.ts'
import type { JobPlan } from './plan.ts'
import { functionOf, inputOf, optionsOf } from './work.ts'

const [link = '', folder = '', planFile = '', number = ''] = process.argv.slice(2)
const jobs = JSON.parse(readFileSync(planFile, 'utf8')) as JobPlan[]
const plan = jobs.find(({ id }) => id === Number(number))
if (!plan) throw new Error(`there is no job ${number}`)
const { id, kind, tasks } = plan
const notes = join(folder, 'notes')
let engine: NatsEngine | undefined
while (!engine) {
  // A program that begins while the server is away is told so; its user starts it again.
  engine = await NatsEngine.open(link).catch(() => undefined)
  if (!engine) await new Promise((resolve) => setTimeout(resolve, 200))
}
const cluster = new Cluster(engine, {}, true)
const fn = cluster.distribute(functionOf(kind, notes, id) as (input: unknown) => unknown, {
  ...optionsOf(kind),
  name: `j${id}`,
})
const inputs = Array.from({ length: tasks }, (_, n) => inputOf(kind, id, n, notes))
const job = await fn.submit(inputs, { detached: true })
process.stdout.write(`${job.id}\n`, () => process.kill(process.pid, 'SIGKILL'))
