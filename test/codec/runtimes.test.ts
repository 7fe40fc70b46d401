import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RuntimeName, runtime } from '../helpers/runtimes.ts'

const run = promisify(execFile)
const NAMES = ['this Node', 'node22', 'node24', 'node26', 'bun', 'deno'] as const

describe('bytes of one runtime decode on every other', () => {
  let directory: string
  let script: string
  /** writer → reader → what differs. */
  const reports = new Map<string, Map<string, string>>()
  const binaries = new Map<string, string>()

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dicomp-codec-'))
    script = join(directory, 'portable.mjs')
    await build({
      entryPoints: [fileURLToPath(new URL('./fixtures/portable.ts', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'es2022',
      outfile: script,
      logLevel: 'error',
    })
    for (const name of NAMES) {
      const binary = name === 'this Node' ? process.execPath : await runtime(name as RuntimeName)
      if (binary !== undefined) binaries.set(name, binary)
    }
    const start = (name: string, ...args: string[]) =>
      run(binaries.get(name) as string, [...(name === 'deno' ? ['run', '-A'] : []), script, ...args])
    const names = [...binaries.keys()]
    for (const name of names) await start(name, 'encode', join(directory, name))
    for (const reader of names) {
      const { stdout } = await start(reader, 'decode', ...names.map((name) => join(directory, name)))
      const report = JSON.parse(stdout) as string[]
      names.forEach((writer, index) => {
        const row = reports.get(writer) ?? new Map<string, string>()
        reports.set(writer, row.set(reader, report[index] as string))
      })
    }
  }, 300_000)

  afterAll(() => rm(directory, { recursive: true, force: true }))

  for (const writer of NAMES) {
    it(`written by ${writer}`, (context) => {
      if (!binaries.has(writer)) context.skip(`${writer} is not published for this system`)
      for (const [reader, result] of reports.get(writer) as Map<string, string>) {
        expect(`read by ${reader}: ${result}`).toBe(`read by ${reader}: same`)
      }
    })
  }
})
