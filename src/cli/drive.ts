import { Driver, type DriverEvent } from '../detached/driver.ts'
import { describeLink, parseLink } from '../nats/link.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { readLinkText } from './link-text.ts'
import { aborted, EndSignals } from './signals.ts'

/** Drives detached jobs until a signal ends it. Resolves to the exit code. */
export async function drive(given: string | undefined, options: { json?: boolean }): Promise<number> {
  const link = parseLink(readLinkText(given, 'dicomp drive'))
  const signals = new EndSignals()
  const tell = (event: object, line: string): void => {
    if (options.json) process.stdout.write(`${JSON.stringify(event)}\n`)
    else process.stderr.write(`${line}\n`)
  }
  try {
    const driver = await Driver.start(link, { onEvent: (event) => tell(eventOf(event), describe(event)) })
    tell({ event: 'driving' }, `Drives the detached jobs of ${describeLink(link)}, until Ctrl-C.`)
    const closed = driver.closed.then((error) => error ?? new Error('The connection was closed'))
    const error = await Promise.race([aborted(signals.first), closed])
    const stopped = driver.stop()
    await Promise.race([stopped, aborted(signals.second)])
    if (error) throw error
    return signals.second.aborted ? exitCodeOf(signals.last ?? 'SIGINT') : EXIT.ok
  } finally {
    signals.release()
  }
}

/** What happened, as JSON. */
export function eventOf(event: DriverEvent): object {
  if (event.type !== 'trouble') return { ...event, event: event.type }
  return {
    event: 'trouble',
    message: event.error.message,
    ...(event.job !== undefined && { job: event.job }),
  }
}

export function describe(event: DriverEvent): string {
  switch (event.type) {
    case 'took':
      return `${event.job}: taken`
    case 'ended':
      return `${event.job}: ${{ over: 'over', left: 'left to others', removed: 'removed', stopped: 'given back' }[event.how]}`
    case 'removed':
      return `${event.job}: its time is over, removed`
    case 'trouble':
      return `${event.job === undefined ? '' : `${event.job}: `}${event.error.message}`
  }
}
