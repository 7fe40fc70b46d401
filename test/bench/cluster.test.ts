import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { endLeftovers, RUN_VARIABLE } from '../../bench/cluster/driver/leftovers.ts'
import { SCENARIOS, TARGETS } from '../../bench/cluster/driver/scenarios.ts'

it('has targets that name what the scenarios of clusters really measure', () => {
  for (const { scenario, ratio } of TARGETS) {
    const found = SCENARIOS.find(({ name }) => name === scenario)
    for (const { competitor, key } of ratio.to ? [ratio.of, ratio.to] : [ratio.of]) {
      expect(found?.competitors).toContain(competitor)
      expect(found?.metrics.map((metric) => metric.key)).toContain(key)
    }
  }
})

it.runIf(existsSync('/proc/self/environ'))(
  'ends what a run has left in sessions of its own, and nothing else',
  async () => {
    const start = async (run: string) => {
      const env = { PATH: process.env.PATH ?? '', [RUN_VARIABLE]: run }
      const child = spawn('sleep', ['60'], { env, detached: true, stdio: 'ignore' })
      await once(child, 'spawn')
      return child
    }
    const [mine, other] = await Promise.all([start('one'), start('two')])
    try {
      const ended = once(mine, 'exit')
      endLeftovers('one')
      expect(await ended).toEqual([null, 'SIGKILL'])
      expect(other.exitCode ?? other.signalCode).toBeNull()
    } finally {
      mine.kill('SIGKILL')
      other.kill('SIGKILL')
    }
  },
)
