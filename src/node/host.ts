/** What a node tells about its computer. */
import { createRequire } from 'node:module'
import { availableParallelism, loadavg, platform, release } from 'node:os'
import type { Heartbeat } from '../nats/messages.ts'

/** @param runtime of its slots */
export function hostFacts(runtime: string): Heartbeat['host'] {
  return {
    os: `${platform()} ${release()}`,
    arch: process.arch,
    cpus: availableParallelism(),
    runtime,
    dicomp: version(),
    load: loadavg()[0] ?? 0,
  }
}

let known: string | undefined
/** From the package.json above this file, wherever the build has put it. */
function version(): string {
  if (known !== undefined) return known
  const require = createRequire(import.meta.url)
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found = require(path) as { name?: string; version?: string }
      if (found.name === 'dicomp' && found.version) return (known = found.version)
    } catch {
      // Not at this depth.
    }
  }
  return (known = 'unknown')
}
