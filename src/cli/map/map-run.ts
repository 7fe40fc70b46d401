import type { Input } from './input.ts'
import { emptyMark, type Mark } from './journal-format.ts'
import { formatFailure, formatLine, parseLine } from './json-line.ts'
import { type InputRecord, LineReader } from './line-reader.ts'
import { MapProgress } from './map-progress.ts'
import { remaining } from './resume-input.ts'
import type { Saver, SaverEvents } from './saver.ts'

/** What became of one input. */
export type Outcome = { index: number } & (
  | { status: 'fulfilled'; value: unknown }
  | { status: 'rejected'; reason: unknown }
)

/** Runs the task on many inputs; the distributed function in the real command. */
export interface TaskRunner {
  run(
    inputs: AsyncIterable<unknown>,
    options: { ordered: boolean; signal: AbortSignal },
  ): AsyncIterable<Outcome>
}

export interface MapRunOptions {
  lines: boolean
  unordered: boolean
  keepGoing: boolean
  /** Where to go on from. */
  mark?: Mark
  /** Called for each failed record while the run goes on past it. */
  onFailure?: (record: InputRecord, error: unknown) => void
}

/** Why a run ended before the end of its input. */
export type Stop =
  /** A line or a task failed, without `--keep-going`. */
  | { why: 'failure'; error: unknown; record: InputRecord }
  /** The input could not be read on, the output could not be written, or no task can run at all. */
  | { why: 'error'; error: unknown }
  | { why: 'signal'; signal: NodeJS.Signals }

interface InFlight {
  record: InputRecord
  input: unknown
}

/**
 * So many characters of input may be in flight; beyond that, reading waits for results. (A count of inputs alone,
 * which is what the engine bounds, says little about memory when lines are long.)
 */
const MOST_IN_FLIGHT = 64 * 1024 * 1024

/** Errors that every further task would meet as well. */
const HOPELESS = new Set([
  'DICOMP_E_LOAD',
  'DICOMP_E_BUNDLE',
  'DICOMP_E_CAPTURE',
  'DICOMP_E_MODULE',
  'DICOMP_E_CLOSED',
  'DICOMP_E_OPTION',
])

/** One run of `dicomp map`: records in, results and failures out, nothing held but what is in flight. */
export class MapRun {
  readonly progress = new MapProgress()
  readonly #input: Input
  readonly #options: MapRunOptions
  readonly #reader: LineReader
  readonly #abort = new AbortController()
  readonly #inFlight = new Map<number, InFlight>()
  #inFlightSize = 0
  #room: (() => void) | undefined
  #saver: Saver | undefined
  #stop: Stop | undefined

  constructor(input: Input, options: MapRunOptions) {
    this.#input = input
    this.#options = options
    this.#reader = new LineReader(input.bytes, { skipBlank: !options.lines })
    const mark = options.mark ?? emptyMark()
    const done = mark.done.reduce((sum, [, count]) => sum + count, 0)
    this.progress.resume(done - mark.failed, mark.failed)
    this.progress.estimate = () => this.#estimate()
  }

  /** Records whose lines are written. */
  get saved(): number {
    return this.#saver?.saved ?? 0
  }

  /** Ends the run soon; what is done stays. */
  interrupt(signal: NodeJS.Signals): void {
    this.#stopNow({ why: 'signal', signal })
  }

  /** @returns why it ended early, or undefined when every record is done. */
  async run(
    runner: TaskRunner,
    openSaver: (events: SaverEvents) => Promise<Saver>,
  ): Promise<Stop | undefined> {
    const saver = await openSaver({
      read: () => this.#reader.state,
      failed: (error) => this.#stopNow({ why: 'error', error }),
    })
    this.#saver = saver
    try {
      const options = { ordered: !this.#options.unordered, signal: this.#abort.signal }
      for await (const outcome of runner.run(this.#feed(), options)) {
        await this.#settle(outcome)
        if (this.#abort.signal.aborted) break
      }
    } catch (error) {
      this.#stop ??= { why: 'error', error }
    } finally {
      this.#input.close()
    }
    try {
      await saver.close(this.#stop === undefined)
    } catch (error) {
      this.#stop = { why: 'error', error }
    }
    return this.#stop
  }

  #stopNow(stop: Stop): void {
    this.#stop ??= stop
    this.#abort.abort(new Error('dicomp map stops'))
    this.#room?.()
  }

  /** The inputs of the tasks. Never throws, and its `return` never waits for a silent stdin. */
  #feed(): AsyncIterableIterator<unknown> {
    const inputs = this.#inputs()
    return {
      next: () => inputs.next(),
      return: async () => ({ done: true, value: undefined }),
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  async *#inputs(): AsyncGenerator<unknown, void, undefined> {
    const { lines: text, mark = emptyMark(), keepGoing } = this.#options
    let next = 0
    try {
      for await (const record of remaining(this.#reader, mark, this.#input.name)) {
        if (this.#abort.signal.aborted) return
        let input: unknown
        try {
          input = parseLine(record, { text, source: this.#input.name })
        } catch (error) {
          if (keepGoing) {
            await this.#fail(record, record.text, error)
            continue
          }
          // No more inputs; what is in flight before this line still gets its results.
          this.#stop ??= { why: 'failure', error, record }
          return
        }
        this.#inFlight.set(next++, { record, input })
        this.#inFlightSize += record.text.length
        yield input
        while (this.#inFlightSize > MOST_IN_FLIGHT && !this.#abort.signal.aborted) {
          await new Promise<void>((resolve) => {
            this.#room = resolve
          })
        }
      }
      this.progress.total = this.#reader.state[0]
    } catch (error) {
      this.#stop ??= { why: 'error', error }
    }
  }

  async #settle(outcome: Outcome): Promise<void> {
    const entry = this.#inFlight.get(outcome.index)
    if (!entry) throw new Error(`a result came for input ${outcome.index}, which is not in flight`)
    this.#inFlight.delete(outcome.index)
    this.#inFlightSize -= entry.record.text.length
    this.#room?.()
    let error: unknown
    let line: string | undefined
    if (outcome.status === 'rejected') error = outcome.reason
    else {
      try {
        line = formatLine(outcome.value, { text: this.#options.lines })
      } catch (problem) {
        error = problem
      }
    }
    if (line !== undefined) {
      await this.#saver?.add('out', entry.record.index, line)
      this.progress.done++
      return
    }
    if (this.#abort.signal.aborted) return
    const code = (error as { code?: unknown } | undefined)?.code
    if (typeof code === 'string' && HOPELESS.has(code)) this.#stopNow({ why: 'error', error })
    else if (this.#options.keepGoing) await this.#fail(entry.record, entry.input, error)
    else {
      // The first failure in the order of the output is the one to tell, whatever line stopped the reading.
      this.#stop = undefined
      this.#stopNow({ why: 'failure', error, record: entry.record })
    }
  }

  async #fail(record: InputRecord, input: unknown, error: unknown): Promise<void> {
    await this.#saver?.add('err', record.index, formatFailure(record, input, error))
    this.progress.failed++
    this.#options.onFailure?.(record, error)
  }

  #estimate(): number | undefined {
    const { size } = this.#input
    const [records] = this.#reader.state
    if (!size || records === 0) return undefined
    return Math.round((records * size) / Math.max(1, this.#reader.bytes))
  }
}
