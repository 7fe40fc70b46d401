/** A second process takes the bundle of the first from the cache, and does not start the bundler. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { execute } from './child.ts'
import { createWorkspace, fixtures, type Workspace } from './workspace.ts'

let workspace: Workspace

beforeAll(async () => {
  workspace = await createWorkspace()
  await cp(join(fixtures, 'cached'), workspace.root, { recursive: true })
}, 120_000)
afterAll(() => workspace?.[Symbol.asyncDispose]())

/** Runs the program; which child processes it started, and which files the cache holds afterwards. */
async function run(size: number): Promise<{ stdout: string; started: string[]; files: string[] }> {
  const [cache, log] = [join(workspace.root, 'cache'), join(workspace.root, 'started')]
  await writeFile(log, '')
  const env = { DICOMP_CACHE_DIR: cache, STARTED: log }
  const args = ['--require', join(fixtures, 'started.cjs'), 'main.js', String(size)]
  const { code, stdout, stderr } = await execute(process.execPath, args, { cwd: workspace.root, env })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const files = (await readdir(cache, { recursive: true })).sort()
  return { stdout, started: (await readFile(log, 'utf8')).split('\n').filter(Boolean), files }
}

test('the bundle is made once, whatever the captured values are', { timeout: 60_000 }, async () => {
  const first = await run(2)
  expect(first.stdout).toBe('[[1,2],[3,4]]\n')
  expect(first.started).toEqual([expect.stringContaining('esbuild')])
  const second = await run(3)
  expect(second.stdout).toBe('[[1,2,3],[4]]\n')
  expect(second.started).toEqual([])
  expect(second.files).toEqual(first.files)

  const source = join(workspace.root, 'main.js')
  const changed = (await readFile(source, 'utf8')).replace('chunk(list, size)', 'chunk(list, size).reverse()')
  await writeFile(source, changed)
  const third = await run(3)
  expect(third.stdout).toBe('[[4],[1,2,3]]\n')
  expect(third.started).toHaveLength(1)
})
