/** Where nothing can look into closures, that is said, and `distribute.module` works: `--permission`, Bun, Deno. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runtime } from '../helpers/runtimes.ts'
import { execute } from './child.ts'
import { createWorkspace, fixtures, type Workspace } from './workspace.ts'

let workspace: Workspace

beforeAll(async () => {
  workspace = await createWorkspace()
  await cp(join(fixtures, 'hatch'), workspace.root, { recursive: true })
}, 120_000)
afterAll(() => workspace?.[Symbol.asyncDispose]())

const ALLOWED = ['--allow-fs-read=*', '--allow-fs-write=*', '--allow-worker', '--allow-child-process']

const WAYS: [name: string, binary: () => Promise<string | undefined>, args: string[], why: RegExp][] = [
  [
    'Node.js 20 --experimental-permission',
    () => runtime('node20'),
    ['--experimental-permission', ...ALLOWED],
    /restricted/,
  ],
  ['Node.js 22 --permission', () => runtime('node22'), ['--permission', ...ALLOWED], /restricted/],
  ['Node.js 24 --permission', () => runtime('node24'), ['--permission', ...ALLOWED], /restricted/],
  ['Bun', () => runtime('bun'), ['run'], /inspector/],
  ['Deno', () => runtime('deno'), ['run', '--allow-all'], /inspector/],
]

describe.each(WAYS)('%s', (_, binary, args, why) => {
  test('modules work, closures are refused', { timeout: 400_000 }, async (context) => {
    const file = await binary()
    if (file === undefined) return context.skip('this runtime is not published for this system')
    const env = { DICOMP_CACHE_DIR: join(workspace.root, 'cache') }
    const { stdout, stderr, code } = await execute(file, [...args, 'main.js'], { cwd: workspace.root, env })
    expect({ code, ...(code === 0 ? {} : { stderr }) }).toEqual({ code: 0 })
    const [mapped, digest, head, ...message] = stdout.split('\n')
    expect([mapped, digest]).toEqual(['[[[1,2],[3]],[[4]]]', '9dd4e461268c8034f5c8564e155c67a6'])
    expect(head).toBe('DICOMP_E_CAPTURE INSPECTOR')
    expect(message.join('\n')).toMatch(why)
    expect(message.join('\n')).toMatch(/Fix: .*distribute\.module\(/)
  })
})
