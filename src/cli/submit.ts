import { pathToFileURL } from 'node:url'
import { connect, type TaskOptions } from '../index.ts'
import { EXIT } from './exit.ts'
import { readLinkText } from './link-text.ts'
import { openInput } from './map/input.ts'
import { inspectTask } from './map/inspect-task.ts'
import { parseLine } from './map/json-line.ts'
import { LineReader } from './map/line-reader.ts'

export interface SubmitOptions {
  cluster?: string
  input?: string
  lines?: boolean
  name?: string
  retries?: number
  timeout?: number | string
  concurrency?: number
  priority?: number
  tags?: string[]
  memory?: string
  env?: Record<string, string>
  /** Milliseconds. */
  keep?: number
  json?: boolean
}

/** Stores a job over the lines of the input, and prints its id. Resolves to the exit code. */
export async function submit(taskPath: string, options: SubmitOptions): Promise<number> {
  const task = await inspectTask(taskPath)
  const url = readLinkText(options.cluster, 'dicomp submit')
  const input = openInput(options.input)
  const cluster = await connect(url)
  try {
    const { cluster: _, input: __, lines = false, json, keep, name = task.name, ...rest } = options
    const run = cluster.distribute.module<(input: unknown) => unknown>(pathToFileURL(task.path), 'default')
    const reader = new LineReader(input.bytes, { skipBlank: !lines })
    let failure: unknown
    const inputs = async function* () {
      for await (const record of reader) {
        try {
          yield parseLine(record, { text: lines, source: input.name })
        } catch (error) {
          failure = error
          throw error
        }
      }
    }
    const taskOptions: TaskOptions = { ...rest, name }
    const job = await run
      .submit(inputs(), { ...taskOptions, detached: true, ...(keep !== undefined && { keep }) })
      .catch((error) => {
        throw failure ?? error
      })
    const [tasks] = reader.state
    if (json) process.stdout.write(`${JSON.stringify({ id: job.id, name, tasks })}\n`)
    else {
      process.stdout.write(`${job.id}\n`)
      process.stderr.write(`Submitted ${tasks} tasks. See how it goes: dicomp job ${job.id}\n`)
    }
    return EXIT.ok
  } finally {
    input.close()
    await cluster.close()
  }
}
