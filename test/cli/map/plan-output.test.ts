import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inspectTask } from '../../../src/cli/map/inspect-task.ts'
import { encodeEntry, type Header, type Mark } from '../../../src/cli/map/journal-format.ts'
import { type OutputOptions, planOutput } from '../../../src/cli/map/plan-output.ts'
import { resumeCommand } from '../../../src/cli/map/resume-command.ts'

let dir: string
const at = (name: string) => join(dir, name)
const task = { path: '/task.ts', name: 'task.ts', hash: 'hash' }
const header: Header = {
  version: 1,
  task: '/task.ts',
  taskHash: 'hash',
  lines: false,
  unordered: false,
  writer: { host: 'elsewhere', pid: 1, started: '' },
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dicomp-plan-'))
  writeFileSync(at('in'), '1\n2\n')
})
afterEach(() => rmSync(dir, { recursive: true }))

function plan(options: Partial<OutputOptions> = {}) {
  return planOutput(task, {
    input: at('in'),
    output: at('out'),
    lines: false,
    unordered: false,
    resume: false,
    overwrite: false,
    allowChangedTask: false,
    ...options,
  })
}

/** Leaves what an interrupted run leaves: one result written. */
function interrupted(about: Partial<Header> = {}, change: Partial<Mark> = {}) {
  writeFileSync(at('out'), '10\n')
  const mark: Mark = {
    done: [[0, 1]],
    failed: 0,
    out: [3, crc32('10\n')],
    err: [0, 0],
    read: [1, crc32('1\n')],
    ...change,
  }
  writeFileSync(at('out.dicomp'), encodeEntry({ header: { ...header, ...about } }) + encodeEntry({ mark }))
}

test('without output there is nothing to continue', () => {
  expect(plan({ output: undefined })).toEqual({ kind: 'plain', out: undefined, err: undefined })
  expect(plan({ output: '/dev/null' })).toMatchObject({ kind: 'plain', out: '/dev/null' })
  expect(() => plan({ output: undefined, resume: true })).toThrow(/--resume needs an output/)
})

test('a new run begins at the beginning and changes nothing yet', () => {
  writeFileSync(at('out'), 'results of last week\n')
  expect(plan()).toMatchObject({ kind: 'journaled', mark: { done: [] } })
  expect(readFileSync(at('out'), 'utf8')).toBe('results of last week\n')
  expect(existsSync(at('out.dicomp'))).toBe(false)
})

test('results of an interrupted run are not overwritten by accident', () => {
  interrupted()
  expect(() => plan()).toThrow(/has the results of an interrupted run[\s\S]*--resume[\s\S]*--overwrite/)
  expect(plan({ overwrite: true })).toMatchObject({ kind: 'journaled', mark: { done: [] } })
})

test('--resume goes on where the run stopped', () => {
  interrupted()
  expect(plan({ resume: true })).toMatchObject({
    kind: 'journaled',
    mark: { done: [[0, 1]], out: [3, crc32('10\n')] },
  })
})

test('--resume begins a run that never began, and leaves a finished one alone', () => {
  expect(plan({ resume: true })).toMatchObject({ kind: 'journaled', mark: { done: [] } })
  writeFileSync(at('out'), '')
  expect(plan({ resume: true })).toMatchObject({ kind: 'journaled', mark: { done: [] } })
  writeFileSync(at('out'), '10\n20\n')
  expect(plan({ resume: true })).toEqual({ kind: 'complete', out: at('out') })
  writeFileSync(at('out.dicomp'), encodeEntry({ header }) + encodeEntry({ end: true }))
  expect(plan({ resume: true })).toEqual({ kind: 'complete', out: at('out') })
  expect(existsSync(at('out.dicomp'))).toBe(false)
})

test('--resume with other options or another task is refused and says which', () => {
  interrupted({ lines: true })
  expect(() => plan({ resume: true })).toThrow(/was with --lines, this one is without --lines/)
  interrupted({ unordered: true })
  expect(() => plan({ resume: true })).toThrow(/was with --unordered/)
  interrupted({ taskHash: 'older' })
  expect(() => plan({ resume: true })).toThrow(/\/task\.ts was changed since[\s\S]*--allow-changed-task/)
  expect(plan({ resume: true, allowChangedTask: true })).toMatchObject({ mark: { done: [[0, 1]] } })
  interrupted({ taskHash: 'x', task: '/other.ts' })
  expect(() => plan({ resume: true })).toThrow(/The task was \/other\.ts/)
})

test('failures stay in one errors file', () => {
  interrupted({ errors: at('bad') }, { failed: 1, done: [[0, 2]], err: [2, crc32('{}')] })
  writeFileSync(at('bad'), '{}')
  expect(() => plan({ resume: true })).toThrow(/failed inputs of the interrupted run are in .*bad/)
  expect(plan({ resume: true, errors: at('bad') })).toMatchObject({ mark: { failed: 1 } })
  interrupted()
  expect(plan({ resume: true, errors: at('bad') })).toMatchObject({
    paths: { err: at('bad') },
    mark: { err: [0, 0] },
  })
})

test('two processes do not write to one output', () => {
  const started =
    process.platform === 'linux'
      ? (readFileSync(`/proc/${process.ppid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? '')
      : ''
  interrupted({ writer: { host: hostname(), pid: process.ppid, started } })
  for (const options of [{ resume: true }, { overwrite: true }, {}]) {
    expect(() => plan(options)).toThrow(`Process ${process.ppid} is writing`)
  }
})

test('what is read is never written to', () => {
  writeFileSync(at('out'), '')
  expect(() => plan({ output: at('in') })).toThrow(/--output and --input are the same file/)
  expect(() => plan({ errors: at('in') })).toThrow(/--errors and --input are the same file/)
  expect(() => plan({ output: at('new'), errors: at('new') })).toThrow(
    /--output and --errors are the same file/,
  )
  symlinkSync(at('in'), at('link'))
  expect(() => plan({ output: at('link') })).toThrow(/--output and --input are the same file/)
  expect(() => plan({ output: '/dev/null', errors: '/dev/null' })).not.toThrow()
})

test('an output that is a directory is refused', () => {
  mkdirSync(at('dir'))
  expect(() => plan({ output: at('dir') })).toThrow(/Cannot write to .*dir: it is a directory/)
})

test('the task is looked at without running it', async () => {
  writeFileSync(at('helper.ts'), 'export const factor: number = 2\n')
  writeFileSync(
    at('task.ts'),
    "import { factor } from './helper.ts'\nexport default (x: number) => x * factor\n",
  )
  const before = await inspectTask(at('task.ts'))
  writeFileSync(
    at('task.ts'),
    "import { factor } from './helper.ts'\n// the same\nexport default (x: number) => x * factor\n",
  )
  expect((await inspectTask(at('task.ts'))).hash).toBe(before.hash)
  writeFileSync(at('helper.ts'), 'export const factor: number = 3\n')
  expect((await inspectTask(at('task.ts'))).hash).not.toBe(before.hash)
})

test('a task that cannot work is refused with the reason', async () => {
  await expect(inspectTask(at('none.ts'))).rejects.toThrow(/DICOMP_E_MODULE|There is no module/)
  writeFileSync(at('named.ts'), 'export const solve = 1, other = 2\n')
  await expect(inspectTask(at('named.ts'))).rejects.toThrow(/no default export; it exports .*solve/)
  writeFileSync(at('broken.ts'), 'export default (x => \n')
  await expect(inspectTask(at('broken.ts'))).rejects.toMatchObject({
    code: 'DICOMP_E_BUNDLE',
    message: expect.stringMatching(/broken\.ts:\d+:\d+/),
  })
  writeFileSync(at('missing.ts'), "import './nowhere.ts'\nexport default 1\n")
  await expect(inspectTask(at('missing.ts'))).rejects.toThrow(/nowhere\.ts/)
  writeFileSync(at('common.cjs'), 'module.exports = (x) => x\n')
  await expect(inspectTask(at('common.cjs'))).resolves.toMatchObject({ name: 'common.cjs' })
})

test('the command to resume can be pasted into a shell', () => {
  const argv = ['node', 'cli.js', 'map', 'my task.ts', '--overwrite', '-o', "it's.jsonl"]
  expect(resumeCommand(argv)).toBe("dicomp map 'my task.ts' -o 'it'\\''s.jsonl' --resume")
})
