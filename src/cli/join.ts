import { resolve } from 'node:path'
import { parseDuration, parseSize } from '../api/quantities.ts'
import { OptionError } from '../errors.ts'
import { describeLink, parseLink } from '../nats/link.ts'
import type { Agent, AgentEvent } from '../node/agent.ts'
import { EXIT, exitCodeOf } from './exit.ts'
import { readLinkText } from './link-text.ts'
import { aborted, EndSignals } from './signals.ts'

export interface JoinOptions {
  slots?: number
  tags?: string[]
  /** As the API takes sizes. */
  memory?: string
  name?: string
  runtime?: string
  isolation?: 'process' | 'sandbox'
  allowNative?: boolean
  cache?: string
  /** As the API takes durations. */
  drainTimeout?: number | string
  json?: boolean
}

/** How often it is looked whether the node works, and how long it idles before that is told, milliseconds. */
const LOOK_MS = 1000
const IDLE_MS = 5000

type Tell = (event: { event: string } & Record<string, unknown>, line: string) => void

/** Works for a cluster until a signal ends it. Resolves to the exit code. */
export async function join(given: string | undefined, options: JoinOptions): Promise<number> {
  const tell: Tell = options.json
    ? (event) => process.stdout.write(`${JSON.stringify(event)}\n`)
    : (_, line) => process.stderr.write(`${line}\n`)
  const link = parseLink(readLinkText(given, 'dicomp join'))
  if (link.role !== undefined && link.role !== 'node') {
    throw new OptionError(
      `This is a link of a ${link.role}, with which a computer cannot join`,
      'use a link of the role node: `dicomp up` prints one, `dicomp token new --role node` makes one',
    )
  }
  if (options.cache !== undefined) process.env.DICOMP_CACHE_DIR = resolve(options.cache)
  const signals = new EndSignals()
  let agent: Agent | undefined
  try {
    const { Agent } = await import('../node/agent.ts')
    const onEvent = (event: AgentEvent): void => say(event, describeLink(link), tell)
    agent = await Agent.start(link, { ...agentOptions(options), onEvent })
    const watch = watchWork(agent, tell)
    const refused = await Promise.race([agent.ended, aborted(signals.first)])
    if (refused) throw refused
    await Promise.race([agent.drain(), aborted(signals.second)])
    clearInterval(watch)
    return signals.second.aborted ? exitCodeOf(signals.last ?? 'SIGINT') : EXIT.ok
  } finally {
    await agent?.stop()
    signals.release()
  }
}

function agentOptions(options: JoinOptions): Parameters<typeof Agent.start>[1] {
  const { slots, tags, memory, name, allowNative, drainTimeout, runtime, isolation } = options
  return {
    ...(slots !== undefined && { slots }),
    ...(tags !== undefined && { tags }),
    ...(memory !== undefined && { memory: parseSize(memory, '--memory') }),
    ...(name !== undefined && { name }),
    ...(runtime !== undefined && { runtime }),
    ...(isolation !== undefined && { isolation }),
    ...(allowNative !== undefined && { allowNative }),
    ...(drainTimeout !== undefined && { drainTimeout: parseDuration(drainTimeout, '--drain-timeout') }),
  }
}

function say(event: AgentEvent, where: string, tell: Tell): void {
  switch (event.type) {
    case 'joined': {
      const { name, pool, slots, host } = event
      return tell(
        { event: 'joined', name, pool, slots, ...host },
        `Joined ${where} as ${name}: ${slots} ${slots === 1 ? 'slot' : 'slots'}, ${host.runtime}. Ctrl-C to leave.`,
      )
    }
    case 'disconnected':
      return tell({ event: 'disconnected' }, 'Lost the server; what runs goes on, trying to get back …')
    case 'reconnected':
      return tell({ event: 'reconnected' }, 'The server is back.')
    case 'draining': {
      const { running } = event
      const wait =
        running > 0 ? `waiting for ${running} tasks that run here; once more to leave at once.` : ''
      return tell({ event: 'draining', running }, `Leaving${wait ? `: ${wait}` : ' …'}`)
    }
    case 'left':
      return tell({ event: 'left' }, 'Left.')
    case 'refused':
      // The command ends with this error, which says so.
      return tell(
        { event: 'refused', message: event.error.message },
        'The server does not take this node any more.',
      )
    case 'orphaned':
      return tell(
        { event: 'orphaned', client: event.client },
        `Nothing was heard of client ${event.client} for too long: its tasks were stopped.`,
      )
    case 'dropped':
      return tell(
        { event: 'dropped', subject: event.subject, why: event.why },
        `Dropped a message at ${event.subject}: ${event.why}.`,
      )
    case 'trouble':
      return tell({ event: 'trouble', message: event.error.message }, event.error.message)
  }
}

/** Tells when the node begins to work, and when it has had nothing to do for a while. */
function watchWork(agent: Agent, tell: Tell): NodeJS.Timeout {
  let working = false
  let busyAt = 0
  return setInterval(() => {
    const { running, done } = agent
    const now = performance.now()
    if (running > 0) busyAt = now
    if (working === running > 0 || (working && now - busyAt < IDLE_MS)) return
    working = running > 0
    if (working) tell({ event: 'working', running }, `Working: ${running} tasks here.`)
    else tell({ event: 'idle', done }, `Idle: ${done} tasks done so far.`)
  }, LOOK_MS).unref()
}
