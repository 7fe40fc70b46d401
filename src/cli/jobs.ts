import { type DetachedInfo, DetachedJob, infoOf } from '../api/detached.ts'
import { isOver } from '../detached/record.ts'
import { type JobView, Store } from '../detached/store.ts'
import { JobError } from '../errors.ts'
import { formatCount, formatDuration, plain, Reporter, truncate } from '../progress/index.ts'
import { type ClusterOptions, printJson, withCluster } from './cluster-link.ts'
import { EXIT } from './exit.ts'
import { facts, table } from './table.ts'

/** Lists the detached jobs of the pool. Resolves to the exit code, as do the others. */
export function jobs(options: ClusterOptions): Promise<number> {
  return withCluster(options, 'jobs', async (connection) => {
    const infos = (await new Store(connection).list()).map(infoOf)
    if (options.json) printJson(infos)
    else if (infos.length === 0) process.stdout.write('There are no detached jobs.\n')
    else process.stdout.write(jobTable(infos))
    return EXIT.ok
  })
}

/** Tells how one job is, or waits for its end. */
export function job(
  id: string,
  options: ClusterOptions & { wait?: boolean; progress?: boolean },
): Promise<number> {
  return withCluster(options, 'job', async (connection) => {
    const store = new Store(connection)
    let info = infoOf(await store.job(id))
    if (options.wait && !isOver(info.state)) {
      const waiting = watch(store, info)
      info = options.progress === false ? await waiting.ended : await shown(waiting)
    }
    if (options.json) printJson(info)
    else process.stdout.write(jobFacts(info))
    return options.wait && info.state !== 'done' ? EXIT.failure : EXIT.ok
  })
}

export function cancel(id: string, options: ClusterOptions): Promise<number> {
  return change(id, options, 'cancel', (store) => store.cancel(id))
}

export function retry(id: string, options: ClusterOptions): Promise<number> {
  return change(id, options, 'retry', (store) => store.retry(id))
}

/** Removes jobs with their results and logs. */
export function remove(ids: string[], options: ClusterOptions & { force?: boolean }): Promise<number> {
  return withCluster(options, 'rm', async (connection) => {
    const store = new Store(connection)
    const views = await Promise.all(ids.map((id) => store.job(id)))
    const busy = views.find(({ state }) => !isOver(state))
    if (busy && !options.force) {
      throw new JobError(
        `The job ${busy.id} is ${busy.state}`,
        `cancel it first (dicomp cancel ${busy.id}), or add --force`,
      )
    }
    for (const id of ids) await store.remove(id)
    if (options.json) printJson({ removed: ids })
    else process.stderr.write(`Removed ${ids.join(', ')}.\n`)
    return EXIT.ok
  })
}

function change(
  id: string,
  options: ClusterOptions,
  command: string,
  work: (store: Store) => Promise<JobView>,
): Promise<number> {
  return withCluster(options, command, async (connection) => {
    const info = infoOf(await work(new Store(connection)))
    if (options.json) printJson(info)
    else process.stderr.write(`The job ${id} is ${info.state}.\n`)
    return EXIT.ok
  })
}

/** The job as the progress line wants it. */
function watch(store: Store, first: DetachedInfo) {
  const state = { info: first }
  const follow = async (): Promise<DetachedInfo> => {
    for await (const info of new DetachedJob(store, first.id, first.name).watch()) state.info = info
    return state.info
  }
  const ended = follow()
  return {
    name: first.name,
    ended,
    done: ended.catch(() => {}),
    get state() {
      return state.info.state as string
    },
    get progress() {
      return state.info.progress
    },
  }
}

async function shown(job: ReturnType<typeof watch>): Promise<DetachedInfo> {
  const reporter = new Reporter({ quiet: Number.POSITIVE_INFINITY })
  reporter.add(job)
  try {
    return await job.ended
  } finally {
    reporter.close()
  }
}

function jobTable(infos: DetachedInfo[]): string {
  const rows = infos.map((info) => {
    const { total = 0, done, failed, elapsedMs } = info.progress
    return [
      info.id,
      info.state,
      `${formatCount(done + failed)}/${formatCount(total)}`,
      failed > 0 ? formatCount(failed) : '-',
      formatDuration(elapsedMs),
      info.user,
      time(info.submittedAt),
      truncate(plain(info.waiting ?? ''), 60),
    ]
  })
  return table(['JOB', 'STATE', 'TASKS', 'FAILED', 'TIME', 'BY', 'SUBMITTED (UTC)', 'WAITS FOR'], rows)
}

function jobFacts({
  id,
  name,
  state,
  progress,
  waiting,
  user,
  submittedAt,
  endedAt,
  keptUntil,
}: DetachedInfo): string {
  const { total = 0, done, failed, running, queued, retries, slots, elapsedMs, etaMs } = progress
  const over = isOver(state)
  return facts([
    ['job', id],
    ['name', plain(name)],
    ['state', state],
    ['tasks', formatCount(total)],
    ['done', formatCount(done)],
    ['failed', failed > 0 ? `${formatCount(failed)} (dicomp retry ${id} runs them again)` : '0'],
    ['running', over ? undefined : `${formatCount(running)} on ${slots} slots`],
    ['queued', over ? undefined : formatCount(queued)],
    ['retries', retries > 0 ? formatCount(retries) : undefined],
    ['time', formatDuration(elapsedMs)],
    ['time left', over || etaMs === undefined ? undefined : `about ${formatDuration(etaMs)}`],
    ['waits for', waiting && plain(waiting)],
    ['submitted', `${time(submittedAt)} UTC by ${user}`],
    ['ended', endedAt && `${time(endedAt)} UTC`],
    ['kept until', keptUntil && `${time(keptUntil)} UTC`],
  ])
}

const time = (date: Date): string => date.toISOString().slice(0, 16).replace('T', ' ')
