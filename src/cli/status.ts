import { Store } from '../detached/store.ts'
import { describeLink } from '../nats/link.ts'
import { callRoll } from '../nats/roll.ts'
import { formatCount } from '../progress/index.ts'
import { type ClusterOptions, printJson, withCluster } from './cluster-link.ts'
import { EXIT } from './exit.ts'
import { facts } from './table.ts'

/** Tells how a cluster is. Resolves to the exit code. */
export function status(options: ClusterOptions): Promise<number> {
  return withCluster(options, 'status', async (connection) => {
    const store = new Store(connection)
    const seesJobs = connection.role === 'client'
    const [beats, views, drivers] = await Promise.all([
      callRoll(connection),
      seesJobs ? store.list() : undefined,
      seesJobs ? store.drivers() : undefined,
    ])
    const sum = (of: (beat: (typeof beats)[number]) => number): number =>
      beats.reduce((total, beat) => total + of(beat), 0)
    const [slots, free] = [sum((beat) => beat.slots), sum((beat) => beat.free)]
    const jobs: Record<string, number> = {}
    for (const { state } of views ?? []) jobs[state] = (jobs[state] ?? 0) + 1
    const { link, pool, serverVersion: server } = connection
    if (options.json) {
      printJson({
        servers: link.servers,
        pool,
        server,
        nodes: beats.length,
        slots,
        free,
        ...(views && { jobs, drivers }),
      })
      return EXIT.ok
    }
    const counts = Object.entries(jobs).map(([state, count]) => `${formatCount(count)} ${state}`)
    process.stdout.write(
      facts([
        ['engine', `${describeLink(link)}, nats-server ${server}`],
        ['nodes', beats.length > 0 ? formatCount(beats.length) : 'none; add one: npx dicomp join <link>'],
        ['slots', `${slots - free} of ${slots} in use`],
        ['jobs', views && (counts.join(', ') || 'no detached ones')],
        ['drivers', drivers && driversText(drivers)],
      ]),
    )
    return EXIT.ok
  })
}

function driversText({ idle, driven, untaken }: { idle: number; driven: number; untaken: number }): string {
  const waiting = untaken > 0 ? `, ${formatCount(untaken)} jobs wait for one` : ''
  return `${idle > 0 ? formatCount(idle) : 'none is free'}, ${formatCount(driven)} jobs driven${waiting}`
}
