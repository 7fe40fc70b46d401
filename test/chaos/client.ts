/**
 * A user's program: submits the jobs of a plan through the public API, each when its time has come, and notes what
 * comes back. Ends by itself when all jobs are over.
 *
 * usage: node --import tsx test/chaos/client.ts <link> <folder of the run> <file of the plan> <file of the history>
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster } from '../../src/api/cluster.ts'
import { NatsEngine } from '../../src/engine/nats/engine.ts'
import { HistoryWriter } from './history.ts'
import type { JobPlan } from './plan.ts'
import { RecordingEngine } from './recorder.ts'
import { digest, functionOf, inputOf, type Outcome, optionsOf } from './work.ts'

/** A job of the kind `cancelled` is cancelled after this long, milliseconds. */
const CANCEL_MS = 700

const [link = '', folder = '', planFile = '', historyFile = ''] = process.argv.slice(2)
const jobs = JSON.parse(readFileSync(planFile, 'utf8')) as JobPlan[]
const notes = join(folder, 'notes')
const history = new HistoryWriter(join(folder, historyFile))
const engine = new RecordingEngine(await NatsEngine.open(link), history)
const cluster = new Cluster(engine, {}, true)
const saver = setInterval(() => history.flush(), 200)
console.log('connected')

const outcomeOf = (settled: PromiseSettledResult<unknown>): Outcome => {
  if (settled.status === 'fulfilled') return { value: digest(settled.value) }
  const { name, message } = settled.reason as Error
  return { error: { name, message } }
}

/** Another process submits the job, and dies. @returns its id */
async function submitElsewhere(job: number): Promise<string> {
  const program = fileURLToPath(new URL('submitter.ts', import.meta.url))
  const args = ['--import', 'tsx', program, link, folder, planFile, String(job)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let id = ''
  for await (const data of child.stdout) id += data
  if (id === '') throw new Error('the job could not be submitted')
  return id.trim()
}

async function run({ id: job, kind, tasks, via, at }: JobPlan): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, at))
  const controller = new AbortController()
  const options = { ...optionsOf(kind), name: `j${job}`, signal: controller.signal }
  const fn = cluster.distribute(functionOf(kind, notes, job) as (input: unknown) => unknown, options)
  const inputs = Array.from({ length: tasks }, (_, n) => inputOf(kind, job, n, notes))
  const note = (index: number, settled: PromiseSettledResult<unknown>): void =>
    history.note({ e: 'outcome', job, index, outcome: outcomeOf(settled) })
  if (kind === 'cancelled') setTimeout(() => controller.abort(), CANCEL_MS)
  try {
    switch (via) {
      case 'settled':
        for (const [index, settled] of (await fn.settled(inputs)).entries()) note(index, settled)
        break
      case 'calls': {
        const calls = await Promise.allSettled(inputs.map((input) => fn(input)))
        for (const [index, settled] of calls.entries()) note(index, settled)
        break
      }
      case 'stream':
        for await (const item of fn.stream(inputs, { settled: true })) note(item.index, item)
        break
      case 'detached': {
        const found = await cluster.job(await submitElsewhere(job))
        for await (const item of found) note(item.index, item)
        await found.remove()
        break
      }
      case 'submit':
        for await (const item of fn.submit(inputs)) note(item.index, item)
        break
    }
    history.note({ e: 'end', job })
  } catch (error) {
    history.note({ e: 'end', job, error: `${(error as Error).name}: ${(error as Error).message}` })
  }
}

await Promise.all(jobs.map(run))
await cluster.close()
clearInterval(saver)
history.flush()
