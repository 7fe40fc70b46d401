import { createWriteStream } from 'node:fs'
import { DetachedJob } from '../api/detached.ts'
import { Store } from '../detached/store.ts'
import { plain, truncate } from '../progress/index.ts'
import { type ClusterOptions, printJson, withCluster } from './cluster-link.ts'
import { EXIT } from './exit.ts'
import { fileError } from './map/files.ts'
import { formatLine } from './map/json-line.ts'

export interface ResultsOptions extends ClusterOptions {
  output?: string
  unordered?: boolean
  lines?: boolean
  wait: boolean
}

/** So many failures are told one by one; the rest are counted. */
const FAILURES_TOLD = 5

type Outcome = { index: number } & PromiseSettledResult<unknown>

/** Writes the results of a job, in the order of its inputs. Resolves to the exit code. */
export function results(id: string, options: ResultsOptions): Promise<number> {
  return withCluster(options, 'results', async (connection) => {
    const store = new Store(connection)
    const { record } = await store.job(id)
    const job = new DetachedJob<unknown>(store, id, record.spec.name)
    const out = new Out(options)
    const early = new Map<number, Outcome>()
    let next = 0
    const write = async (outcome: Outcome): Promise<void> => {
      if (options.unordered) return out.write(outcome)
      early.set(outcome.index, outcome)
      for (let ready = early.get(next); ready; ready = early.get(next)) {
        early.delete(next++)
        await out.write(ready)
      }
    }
    try {
      for await (const outcome of job.outcomes({ wait: options.wait })) await write(outcome)
    } finally {
      // What comes after a task without a result: of a job that was cancelled, or still runs.
      for (const index of [...early.keys()].sort((a, b) => a - b))
        await out.write(early.get(index) as Outcome)
      await out.close()
    }
    return out.failed > 0 ? EXIT.failure : EXIT.ok
  })
}

/** What tasks have printed. Resolves to the exit code. */
export function logs(id: string, options: ClusterOptions & { follow?: boolean }): Promise<number> {
  return withCluster(options, 'logs', async (connection) => {
    const store = new Store(connection)
    const { record } = await store.job(id)
    const job = new DetachedJob(store, id, record.spec.name)
    for await (const line of job.logs({ follow: options.follow === true })) {
      if (options.json) printJson({ ...line, at: new Date(line.at) })
      else process.stdout.write(prefixed(line.index, line.text))
    }
    return EXIT.ok
  })
}

/** Each line with the number of its task. */
function prefixed(index: number, text: string): string {
  const lines = text.endsWith('\n') ? text.slice(0, -1) : text
  return lines
    .split('\n')
    .map((line) => `${index}: ${plain(line)}\n`)
    .join('')
}

class Out {
  failed = 0
  readonly #options: ResultsOptions
  readonly #stream: NodeJS.WritableStream
  #error: Error | undefined

  constructor(options: ResultsOptions) {
    this.#options = options
    const { output } = options
    this.#stream = output === undefined ? process.stdout : createWriteStream(output)
    if (output === undefined) return
    this.#stream.on('error', (error) => (this.#error = fileError('write', output, error)))
  }

  async write(outcome: Outcome): Promise<void> {
    if (outcome.status === 'rejected') this.failed++
    if (this.#options.json) return this.#put(`${JSON.stringify(jsonOf(outcome))}\n`)
    if (outcome.status === 'fulfilled')
      return this.#put(formatLine(outcome.value, { text: this.#options.lines === true }))
    if (this.failed > FAILURES_TOLD) return
    const { reason, index } = outcome
    const text = reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason)
    process.stderr.write(`task ${index}: ${truncate(plain(text.split('\n')[0] ?? ''), 300)}\n`)
    if (this.failed === FAILURES_TOLD) process.stderr.write('(further failures are only counted)\n')
  }

  async close(): Promise<void> {
    if (this.failed > 0 && !this.#options.json)
      process.stderr.write(`${this.failed} ${this.failed === 1 ? 'task has' : 'tasks have'} failed.\n`)
    if (this.#stream !== process.stdout) {
      await new Promise<void>((resolve) => {
        this.#stream.once('error', () => resolve())
        this.#stream.end(() => resolve())
      })
    }
    if (this.#error) throw this.#error
  }

  async #put(text: string): Promise<void> {
    if (this.#error) throw this.#error
    if (this.#stream.write(text)) return
    await new Promise<void>((resolve) => {
      this.#stream.once('drain', resolve)
      this.#stream.once('error', () => resolve())
    })
  }
}

function jsonOf(outcome: Outcome) {
  const { index, status } = outcome
  if (outcome.status === 'fulfilled') {
    // Refuses what JSON would lose.
    return { index, status, value: JSON.parse(formatLine(outcome.value, { text: false })) as unknown }
  }
  const { reason } = outcome
  if (!(reason instanceof Error))
    return { index, status, error: { name: typeof reason, message: String(reason) } }
  const { code } = reason as { code?: unknown }
  const error = {
    name: reason.name,
    message: reason.message,
    ...(code !== undefined && { code: String(code) }),
  }
  return { index, status, error }
}
