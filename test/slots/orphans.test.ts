/** Process slots end with the program that owns them, however it ends, and not before. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { eventually } from './leftovers.ts'

let host: ChildProcess
let slots: number[]
let directory: string

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'dicomp-orphans-'))
  const file = fileURLToPath(new URL('fixtures/host.mjs', import.meta.url))
  host = spawn(process.execPath, [file, directory], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // A process group of its own, which gets the signals of "its terminal".
    detached: true,
  })
  const [line] = (await once(host.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  slots = JSON.parse(line.toString())
})
afterEach(() => {
  host.kill('SIGKILL')
  rmSync(directory, { recursive: true })
})

/** Dead, or a zombie that nobody has asked about yet. */
function dead(pid: number): boolean {
  try {
    return /State:\s*Z/.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return true
  }
}
const allDead = () => eventually(() => expect(slots.filter((pid) => !dead(pid))).toEqual([]))

test('the program is killed: busy and idle slots end', async () => {
  expect(slots).toHaveLength(2)
  expect(slots.filter(dead)).toEqual([])
  host.kill('SIGKILL')
  await allDead()
})

test('the program exits with work left: slots end, its exit code stays', async () => {
  host.send('exit')
  const [code] = await once(host, 'exit')
  expect(code).toBe(7)
  await allDead()
})

test('Ctrl-C reaches the program, not its slots', async () => {
  const exit = once(host, 'exit')
  process.kill(-(host.pid as number), 'SIGSTOP')
  // With the program stopped nobody but the signal itself could end them.
  process.kill(-(host.pid as number), 'SIGINT')
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(slots.filter(dead)).toEqual([])
  process.kill(-(host.pid as number), 'SIGCONT')
  expect((await exit)[1]).toBe('SIGINT')
  await allDead()
})

test('close() returns when they are gone, and leaves nothing', async () => {
  host.send('close')
  const [report] = await once(host, 'message')
  expect(slots.filter((pid) => !dead(pid))).toEqual([])
  expect(report.busy).toBe('DICOMP_E_CLOSED')
  expect(report.resources.filter((each: string) => each !== 'PipeWrap')).toEqual([])
  const [code] = await once(host, 'exit')
  expect(code).toBe(0)
})
