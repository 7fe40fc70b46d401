import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { dicomp, fixture, start, temporary, until } from './command.ts'

test('a TypeScript program runs as it is: arguments, output and exit code are its own', async () => {
  const { code, stdout, stderr } = await dicomp(['run', fixture('program.ts'), '--x', 'y'])
  expect(stdout).toBe('{"args":["--x","y"],"last":69}\n')
  expect(stderr).toMatch(/^✔ {2}triple {2}24 done in \d\.\d s/m)
  expect(stderr).not.toContain('\u001b')
  expect(code).toBe(7)
})

test('--no-progress shows none', async () => {
  expect(await dicomp(['run', '--no-progress', fixture('program.ts')])).toMatchObject({ code: 7, stderr: '' })
})

test('signals are the program’s own', async () => {
  const going = start(['run', '--no-progress', fixture('program.ts'), '--wait'])
  await until(() => going.output.stdout.includes('waiting'))
  going.child.kill('SIGTERM')
  expect(await going.ended).toMatchObject({ code: 9, stdout: expect.stringContaining('got SIGTERM') })
})

test('a program that a signal ends, ends us with the same signal', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'dies.ts'), "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 10_000)\n")
  expect(await dicomp(['run', join(dir, 'dies.ts')])).toMatchObject({ code: null, signal: 'SIGTERM' })
})

test.each(['{}', '{"type":"commonjs"}', '{"type":"module"}'])(
  'top-level await works with package.json %s',
  async (manifest) => {
    const dir = temporary()
    writeFileSync(join(dir, 'package.json'), manifest)
    writeFileSync(join(dir, 'other.ts'), 'export const later = await Promise.resolve(6)\n')
    writeFileSync(
      join(dir, 'app.ts'),
      "import { later } from './other.ts'\nenum E { A = 7 }\nconsole.log(await Promise.resolve(later * E.A))\n",
    )
    expect(await dicomp(['run', 'app.ts'], { cwd: dir })).toMatchObject({
      code: 0,
      stdout: '42\n',
      stderr: '',
    })
  },
)

test('CommonJS programs stay CommonJS', async () => {
  const dir = temporary()
  writeFileSync(
    join(dir, 'app.ts'),
    "const path = require('node:path')\nconsole.log(typeof __filename, path.basename(__dirname) !== '')\n",
  )
  expect(await dicomp(['run', 'app.ts'], { cwd: dir })).toMatchObject({ code: 0, stdout: 'string true\n' })
})

test('an uncaught error shows its TypeScript line', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'app.ts'), "interface A { x: number }\n\nexport const a: A = JSON.parse('{')\n")
  const { code, stderr } = await dicomp(['run', join(dir, 'app.ts')])
  expect(code).toBe(1)
  expect(stderr).toMatch(/app\.ts:3:\d+/)
})

test('a program that is not there is a clear error', async () => {
  expect(await dicomp(['run', 'none.ts'])).toMatchObject({
    code: 1,
    stderr: 'error DICOMP_E_FILE: There is no program none.ts\n  Fix: check the path\n',
  })
})

test('help, version and wrong use', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(await dicomp(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` })
  expect(await dicomp(['--help'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Examples:'),
    stderr: '',
  })
  expect(await dicomp([])).toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: dicomp') })
  expect(await dicomp(['nope'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("unknown command 'nope'"),
  })
})

test('doctor finds that this machine works', async () => {
  const { code, stdout } = await dicomp(['doctor', '--json'])
  const { ok, findings } = JSON.parse(stdout)
  expect(findings.filter((finding: { status: string }) => finding.status === 'fail')).toEqual([])
  expect(findings.map((finding: { name: string }) => finding.name)).toContain('a distributed call')
  expect({ code, ok }).toEqual({ code: 0, ok: true })
})

test('bench prints numbers', async () => {
  const { code, stdout, stderr } = await dicomp(['bench', '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const result = JSON.parse(stdout)
  expect(result.callsPerSecond).toBeGreaterThan(0)
  expect(result.efficiency).toHaveLength(2)
  for (const row of result.efficiency) expect(row.speedup).toBeGreaterThan(0)
})
