/**
 * What capture must carry, through the public API, in every way to start a program and on every version of Node.js.
 * One process for each pair runs all cases; a failure names the way, the version and the case.
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runtime } from '../helpers/runtimes.ts'
import { type Ended, execute, type NodeName } from './child.ts'
import { RUNNERS, type Runner } from './runners.ts'
import { createWorkspace, type Workspace } from './workspace.ts'

const MINUTES = 60_000
let workspace: Workspace
const made = new Map<Runner, Promise<string>>()

beforeAll(async () => {
  workspace = await createWorkspace()
}, 2 * MINUTES)
afterAll(() => workspace?.[Symbol.asyncDispose]())

describe.concurrent.each(RUNNERS.map((runner) => [runner.name, runner] as const))('%s', (_, runner) => {
  for (const version of runner.nodes) {
    test.concurrent(version, { timeout: 10 * MINUTES }, async (context) => {
      const binary = await runtime(version)
      if (binary === undefined) return context.skip(`${version} is not published for this system`)
      expect(await failuresOf(runner, version, binary)).toEqual([])
    })
  }
})

function directoryOf(runner: Runner): Promise<string> {
  const dir = join(workspace.root, runner.name.replaceAll(/\W+/g, '-').toLowerCase())
  const making = made.get(runner) ?? mkdir(dir).then(() => runner.make(dir).then(() => dir))
  made.set(runner, making)
  return making
}

/** The cases that failed, each with its runner, version and reason. */
async function failuresOf(runner: Runner, version: NodeName, binary: string): Promise<string[]> {
  const dir = await directoryOf(runner)
  const report = runner.report && `${version}-${runner.report}`
  const command = runner.command.map((each) => (report ? each.replace(runner.report ?? '', report) : each))
  const ended = await execute(binary, command, {
    cwd: dir,
    env: { MATRIX_SOURCES: join(dir, 'src'), DICOMP_CACHE_DIR: join(dir, `cache-${version}`), ...runner.env },
  })
  const failures = report ? await failedTests(join(dir, report), ended) : failedLines(ended)
  return failures.map((each) => `${runner.name} / ${version} / ${each}`)
}

function failedLines({ stdout, stderr, code, signal }: Ended): string[] {
  const results = stdout.split('\n').filter((line) => / ok$| FAIL "/.test(line))
  const expected = Number(/^(\d+) cases$/m.exec(stdout)?.[1] ?? Number.NaN)
  const failures = results.filter((line) => !line.endsWith(' ok')).map(readable)
  if (expected !== results.length || !(expected > 20) || code !== (failures.length ? 1 : 0)) {
    const last = results.at(-1)?.split(/ ok$| FAIL /)[0] ?? 'none'
    const end = `${results.length} of ${expected} cases, last: ${last}; exit code ${code}, signal ${signal}`
    failures.push(`${end}\n${stderr.slice(-4000)}`)
  }
  return failures
}

function readable(line: string): string {
  const [name, why = '""'] = line.split(' FAIL ')
  return `${name}: ${JSON.parse(why)}`
}

interface Report {
  testResults: {
    message: string
    assertionResults: { title: string; status: string; failureMessages: string[] }[]
  }[]
}

async function failedTests(file: string, ended: Ended): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text === undefined) return [`no report; exit code ${ended.code}\n${ended.stdout}${ended.stderr}`]
  const files = (JSON.parse(text) as Report).testResults
  const results = files.flatMap((each) => each.assertionResults)
  const failed = results.filter(({ status }) => status !== 'passed')
  const failures = failed.map(({ title, failureMessages }) => `${title}: ${failureMessages.join('\n')}`)
  if (results.length <= 20 || ended.code !== (failures.length ? 1 : 0)) {
    const messages = files.map((each) => each.message).join('\n')
    failures.push(
      `${results.length} tests; exit code ${ended.code}\n${messages}\n${ended.stderr.slice(-4000)}`,
    )
  }
  return failures
}
