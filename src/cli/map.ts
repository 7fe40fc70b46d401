import { connect, type TaskOptions } from '../index.ts'
import { formatCount, formatSummary, plain, Reporter, truncate } from '../progress/index.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { readLinkText } from './link-text.ts'
import { openInput } from './map/input.ts'
import { inspectTask } from './map/inspect-task.ts'
import { JournaledSaver } from './map/journaled-saver.ts'
import { MapRun, type Stop } from './map/map-run.ts'
import { PlainSaver } from './map/plain-saver.ts'
import { type OutputOptions, type OutputPlan, planOutput } from './map/plan-output.ts'
import { resumeCommand } from './map/resume-command.ts'
import type { Saver, SaverEvents } from './map/saver.ts'
import { moduleRunner } from './map/task-runner.ts'
import { describeError } from './report-error.ts'

export interface MapCommandOptions extends Partial<OutputOptions> {
  keepGoing?: boolean
  retries?: number
  timeout?: number | string
  slots?: number
  cluster?: string
  tags?: string[]
  concurrency?: number
  isolation?: 'thread' | 'process'
  memory?: string
  env?: Record<string, string>
  progress: boolean
  json?: boolean
}

/** Slots that do not end within this time are left to the end of the process. Milliseconds. */
const CLOSE_PATIENCE = 2000

/** So many failures are told one by one while the run goes on; the rest are counted. */
const FAILURES_TOLD = 5
const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Runs a module's default export over the lines of the input. Resolves to the exit code. */
export async function map(taskPath: string, options: MapCommandOptions): Promise<number> {
  const task = await inspectTask(taskPath)
  const { lines = false, unordered = false, resume = false, overwrite = false } = options
  const { keepGoing = options.errors !== undefined, allowChangedTask = false } = options
  const plan = planOutput(task, { ...options, lines, unordered, resume, overwrite, allowChangedTask })
  if (plan.kind === 'complete') {
    process.stderr.write(`${plan.out} is complete: nothing to resume. (Without --resume it is made anew.)\n`)
    return EXIT.ok
  }
  const input = openInput(options.input)
  const reporter = new Reporter({ quiet: Number.POSITIVE_INFINITY })
  let told = 0
  const run = new MapRun(input, {
    lines,
    unordered,
    keepGoing,
    ...(plan.kind === 'journaled' ? { mark: plan.mark } : {}),
    onFailure: (record, error) => {
      if (++told > FAILURES_TOLD) return
      reporter.print(`line ${record.line}: ${truncate(plain(firstLine(error)), 300)}`)
      if (told === FAILURES_TOLD) reporter.print('(further failures are only counted)')
    },
  })
  const { slots, cluster: link } = options
  const url = link === undefined ? {} : { url: readLinkText(link, 'dicomp map') }
  const cluster = await connect(slots === undefined ? url : { slots })
  const runner = moduleRunner(cluster, task, taskOptions(options), run.progress)
  let state = 'running'
  let finished: () => void = () => {}
  const done = new Promise<void>((resolve) => {
    finished = resolve
  })
  if (options.progress) {
    reporter.add({
      name: task.name,
      done,
      get state() {
        return state
      },
      get progress() {
        return run.progress.snapshot
      },
    })
  }
  const unlisten = onSignals((signal) => run.interrupt(signal))
  const stop = await run.run(runner, (events) => openSaver(plan, events))
  unlisten()
  state = stop ? 'stopped' : 'done'
  reporter.close()
  finished()
  const code = report(stop, run, plan, options, task.name)
  // Tasks that still run after an interrupt are of no use to anybody, nor is a slot that cannot be ended.
  const closed = stop?.why !== 'signal' && (await endsWithin(cluster.close(), CLOSE_PATIENCE))
  if (!closed) process.exit(code)
  return code
}

async function endsWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  const ended = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return ended
}

function taskOptions(options: MapCommandOptions): TaskOptions {
  const { retries, timeout, concurrency, isolation, memory, env, tags } = options
  return {
    ...(retries === undefined ? {} : { retries }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(isolation === undefined ? {} : { isolation }),
    ...(memory === undefined ? {} : { memory }),
    ...(env === undefined ? {} : { env }),
    ...(tags === undefined ? {} : { tags }),
  }
}

async function openSaver(plan: OutputPlan, events: SaverEvents): Promise<Saver> {
  if (plan.kind === 'journaled') return new JournaledSaver(plan.paths, plan.header, plan.mark, events)
  return PlainSaver.open(plan.out, plan.kind === 'plain' ? plan.err : undefined, events)
}

/** The first signal ends the run in good order, the second at once. */
function onSignals(first: (signal: NodeJS.Signals) => void): () => void {
  let received = 0
  const listener = (signal: NodeJS.Signals) => {
    if (++received > 1) process.exit(exitCodeOf(signal))
    first(signal)
  }
  for (const signal of SIGNALS) process.on(signal, listener)
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener)
  }
}

/** Tells how it went, and what to do next. Returns the exit code. */
function report(
  stop: Stop | undefined,
  run: MapRun,
  plan: OutputPlan,
  options: MapCommandOptions,
  name: string,
): number {
  const { snapshot } = run.progress
  const say = (text: string) => process.stderr.write(`${text}\n`)
  if (stop?.why === 'error' && isClosedPipe(stop.error)) return exitCodeOf('SIGPIPE')
  if (options.json) {
    const { done, failed, elapsedMs } = snapshot
    const state = stop ? 'stopped' : 'done'
    const summary = { state, done, failed, earlier: run.progress.earlier, elapsedMs: Math.round(elapsedMs) }
    const stream = options.output === undefined ? process.stderr : process.stdout
    stream.write(`${JSON.stringify(summary)}\n`)
  }
  if (!stop) {
    if (options.progress) {
      const { earlier, inThisRun } = run.progress
      const before = earlier > 0 ? ` (and ${formatCount(earlier)} in an earlier run)` : ''
      const where = options.output === undefined ? '' : ` → ${options.output}`
      const failures = snapshot.failed > 0 && options.errors ? `, failures → ${options.errors}` : ''
      say(
        `${formatSummary({ ...snapshot, ...inThisRun }, 'done', { name, columns: 200 })}${before}${where}${failures}`,
      )
    }
    return snapshot.failed > 0 ? EXIT.failure : EXIT.ok
  }
  if (stop.why === 'signal') say(`Stopped by ${stop.signal}.`)
  else say(describeError(stop.error))
  if (stop.why === 'failure')
    say(
      `  at line ${stop.record.line} of ${options.input ?? 'stdin'}: ${truncate(plain(stop.record.text), 200)}`,
    )
  if (plan.kind === 'journaled') {
    const how =
      stop.why === 'failure' ? ' (the failed line is tried again; --keep-going goes on past it)' : ''
    if (run.saved > 0)
      say(
        `${formatCount(run.saved)} lines are done and saved in ${options.output}. Go on with:\n  ${resumeCommand(process.argv)}${how}`,
      )
  } else if (snapshot.done > 0) {
    say(
      `${formatCount(snapshot.done)} results were written. (With --output FILE, a stopped run can be resumed.)`,
    )
  }
  return stop.why === 'signal' ? exitCodeOf(stop.signal) : EXIT.failure
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return `${error.name}: ${error.message}`.split('\n')[0] ?? ''
}

function isClosedPipe(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'EPIPE'
}
