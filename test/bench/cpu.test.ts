import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { expect, it } from 'vitest'
import { busyMs, foreign, isDisturbed, mark, ownMs } from '../../bench/driver/cpu.ts'

it('counts everything but idle and waiting in /proc/stat', () => {
  // user nice system idle iowait irq softirq steal guest
  expect(busyMs('cpu  100 10 50 99999 777 3 2 5 40 0\ncpu0 1 2 3\n')).toBe(1700)
})

it('finds the times in /proc/<pid>/stat behind a hostile command name', () => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 11 22 33 44 20 0'
  expect(ownMs(`42 (a) b (c)) ${rest}`)).toBe((11 + 22 + 33 + 44) * 10)
})

it('calls a run disturbed by CPU that others used, unless it is too little to tell', () => {
  expect(isDisturbed(0.5, 1000)).toBe(true)
  expect(isDisturbed(0.01, 60_000)).toBe(false)
  expect(isDisturbed(0.3, 100)).toBe(false)
  expect(isDisturbed(undefined, 1000)).toBe(false)
})

it.runIf(existsSync('/proc/stat'))('does not count what a child of its own used', async () => {
  const from = mark()
  const child = spawn(process.execPath, ['-e', 'while (process.cpuUsage().user < 300_000);'])
  await once(child, 'close')
  const to = mark()
  expect(to.own - from.own).toBeGreaterThanOrEqual(250)
  const cores = foreign(from, to)
  expect(cores).toBeLessThanOrEqual(((to.all ?? 0) - (from.all ?? 0) - 250) / (to.at - from.at))
})
