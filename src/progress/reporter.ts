import { formatProgress, formatSummary } from './format.ts'
import { LiveArea, type TerminalStream } from './live-area.ts'
import type { WatchedJob } from './snapshot.ts'

export interface ReporterOptions {
  /** Where progress goes. @default process.stderr */
  stream?: TerminalStream
  /** Other streams of this process that may end on the same terminal. @default [process.stdout] */
  others?: TerminalStream[]
  /** A live line in place (true) or plain lines now and then (false). @default a terminal that is not dumb */
  live?: boolean
  /** @default live, and neither NO_COLOR nor a dumb terminal */
  colour?: boolean
  /** Milliseconds between two drawings. @default 100 live, 5000 plain */
  interval?: number
  /** Jobs that end sooner leave no trace (a training loop may run thousands). Milliseconds. @default 1000 */
  quiet?: number
}

/** A job is drawn live only when it runs longer than this, so that short ones do not flicker. Milliseconds. */
const SHOW_AFTER = 300

/** Whether the terminal takes cursor movements. */
export function canAnimate(stream: TerminalStream, env: NodeJS.ProcessEnv = process.env): boolean {
  return Boolean(stream.isTTY) && env.TERM !== 'dumb' && !env.CI
}

/** Whether to use colours: https://no-color.org, and FORCE_COLOR to insist. */
export function canColour(stream: TerminalStream, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR) return false
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0'
  return Boolean(stream.isTTY) && env.TERM !== 'dumb'
}

/** Shows running jobs: live lines on a terminal, plain lines elsewhere. Never keeps the process alive. */
export class Reporter {
  readonly #stream: TerminalStream
  readonly #others: TerminalStream[]
  readonly #live: boolean
  readonly #colour: boolean
  readonly #interval: number
  readonly #quiet: number
  readonly #jobs = new Set<WatchedJob>()
  #area: LiveArea | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: ReporterOptions = {}) {
    this.#stream = options.stream ?? (process.stderr as unknown as TerminalStream)
    this.#others = options.others ?? [process.stdout as unknown as TerminalStream]
    this.#live = options.live ?? canAnimate(this.#stream)
    this.#colour = options.colour ?? canColour(this.#stream)
    this.#interval = options.interval ?? (this.#live ? 100 : 5000)
    this.#quiet = options.quiet ?? 1000
  }

  /** Follows a job until it has ended. */
  add(job: WatchedJob): void {
    this.#jobs.add(job)
    this.#timer ??= setInterval(() => this.#tick(), this.#interval).unref()
    const end = () => this.#end(job)
    job.done.then(end, end)
  }

  /** Prints a line that stays. */
  print(line: string): void {
    if (this.#area) this.#area.print(line)
    else this.#write(`${line}\n`)
  }

  /** Stops drawing. */
  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#jobs.clear()
    this.#area?.close()
    this.#area = undefined
  }

  #tick(): void {
    const shown = [...this.#jobs].filter((job) => job.progress.elapsedMs >= SHOW_AFTER)
    if (!this.#live) {
      for (const job of shown)
        this.#write(`${formatProgress(job.progress, { name: job.name, columns: 200 })}\n`)
      return
    }
    if (shown.length > 0) this.#area ??= new LiveArea(this.#stream, this.#others)
    if (!this.#area) return
    // The last column stays empty: a terminal wraps when it is written to.
    const columns = this.#area.columns - 1
    const style = { columns, colour: this.#colour }
    this.#area.update(shown.map((job) => formatProgress(job.progress, { ...style, name: job.name })))
  }

  #end(job: WatchedJob): void {
    if (!this.#jobs.delete(job)) return
    if (this.#area) this.#tick() // without its line
    const snapshot = job.progress
    if (snapshot.elapsedMs >= this.#quiet) {
      const columns = this.#live ? (this.#area?.columns ?? 80) - 1 : 200
      this.print(formatSummary(snapshot, job.state, { name: job.name, columns, colour: this.#colour }))
    }
    if (this.#jobs.size === 0) this.close()
  }

  #write(text: string): void {
    ;(this.#stream.write as unknown as (text: string) => boolean).call(this.#stream, text)
  }
}
