/** Opens the engine of a program that began before its cluster did. */
import { ConnectError } from '../../errors.ts'
import { describeLink, parseLink, readLink } from '../../nats/link.ts'
import { NatsEngine } from './engine.ts'
import type { Waiting } from './waiting.ts'

const AGAIN_MS = 1000

/**
 * Like `NatsEngine.open`, but while nobody listens at the address it says so and tries again.
 * @param text a link, or `@file` with one
 * @throws LinkError; ConnectError for what does not mend itself: credentials, pin, version of the server
 */
export async function openPatiently(text: string, waiting: Waiting): Promise<NatsEngine> {
  const link = parseLink(readLink(text))
  for (;;) {
    try {
      const engine = await NatsEngine.open(link)
      waiting.look(undefined, performance.now())
      return engine
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== 'DICOMP_E_CONNECT') throw error
      const why = error.message.split('\n')[0]
      waiting.look(`no engine at ${describeLink(link)} (${why})`, performance.now())
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}
