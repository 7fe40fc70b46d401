import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { runProcess } from '../../bench/driver/process.ts'

const dir = mkdtempSync(join(tmpdir(), 'dicomp-bench-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A competitor whose `call` is this text. */
function competitor(name: string, call: string, before = ''): string {
  const file = join(dir, `${name}.mjs`)
  writeFileSync(file, `${before}\nexport const open = () => ({ call: async (op, arg) => { ${call} } })\n`)
  return file
}

const run = (file: string, limit = 20) =>
  runProcess({ competitor: file, file: 'cold', params: { slots: 2 }, limit, sinceStart: 'first' })

/** Whether the process still runs; one that is dead but not yet collected by its parent does not. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !existsSync('/proc/self/stat') || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

it('runs a competitor in a fresh process and times it from the start of the process', async () => {
  const outcome = await run(competitor('good', 'return arg'))
  if (outcome.status !== 'ok') throw new Error(JSON.stringify(outcome))
  expect(outcome.values.first).toBeGreaterThan(1)
})

it('tells a wrong result, a crash and an early end from a result', async () => {
  expect(await run(competitor('wrong', 'return arg + 1'))).toMatchObject({
    status: 'failed',
    why: expect.stringContaining('wrong result'),
  })
  expect(await run(competitor('dies', "process.kill(process.pid, 'SIGKILL')"))).toEqual({
    status: 'failed',
    why: 'SIGKILL',
  })
  // Nothing left to wait for: Node ends with 13 and no word about it on stdout.
  expect(await run(competitor('ends', 'await new Promise(() => {})'))).toMatchObject({
    status: 'failed',
    why: expect.stringContaining('exit 13'),
  })
})

it('kills one that hangs, together with what it started', async () => {
  const pidFile = join(dir, 'pid')
  const hanging = competitor(
    'hangs',
    'for (;;);',
    `import { spawn } from 'node:child_process'
     import { writeFileSync } from 'node:fs'
     const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
     writeFileSync(${JSON.stringify(pidFile)}, String(child.pid))`,
  )
  expect(await run(hanging, 2)).toEqual({ status: 'timeout', seconds: 2 })
  const pid = Number(readFileSync(pidFile, 'utf8'))
  expect(pid).toBeGreaterThan(0)
  await expect.poll(() => alive(pid), { timeout: 5000 }).toBe(false)
})

it('leaves nothing behind when a competitor answers and forgets a child', async () => {
  const pidFile = join(dir, 'forgotten')
  const forgetful = competitor(
    'forgets',
    'return arg',
    `import { spawn } from 'node:child_process'
     import { writeFileSync } from 'node:fs'
     const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
     writeFileSync(${JSON.stringify(pidFile)}, String(child.pid))`,
  )
  expect(await run(forgetful)).toMatchObject({ status: 'ok' })
  await expect.poll(() => alive(Number(readFileSync(pidFile, 'utf8'))), { timeout: 5000 }).toBe(false)
})
