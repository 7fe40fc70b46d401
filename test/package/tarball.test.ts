/** The package as a user gets it: packed, installed into an empty project, used there. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const exec = promisify(execFile)
const npm = (args: string[], cwd: string) => exec('npm', [...args, '--no-audit', '--no-fund'], { cwd })

let dir: string
let contents: string[]
const project = () => join(dir, 'project')
const node = (args: string[]) =>
  exec(process.execPath, args, { cwd: project(), env: { ...process.env, CI: '' } })

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dicomp-package-'))
  // Without scripts: `npm test` has built dist/ a moment ago, and other tests are using it.
  const packed = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', dir], root)
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
  contents = files.map((file) => file.path)
  mkdirSync(project())
  await npm(['init', '-y'], project())
  await npm(['install', '--prefer-offline', join(dir, filename)], project())
}, 240_000)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const program = `
const offset = 1000
class Shape { area() { return 0 } }
class Square extends Shape { constructor(side) { super(); this.side = side } area() { return super.area() + this.side ** 2 } }
const area = distribute((side) => new Square(side).area() + offset)
console.log(JSON.stringify(await area.map([1, 2, 3])))
`

test('it has what it needs and nothing else', () => {
  for (const file of [
    'package.json',
    'LICENSE',
    'CHANGELOG.md',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli.js',
    'dist/runner.js',
    'deploy/dicomp-node.service',
  ]) {
    expect(contents).toContain(file)
  }
  expect(
    contents.filter(
      (path) => !/^(dist|docs|deploy)\/|^(package\.json|LICENSE|CHANGELOG\.md|README\.md)$/.test(path),
    ),
  ).toEqual([])
})

test('JavaScript, as an ES module', async () => {
  writeFileSync(join(project(), 'app.mjs'), `import { distribute } from 'dicomp'\n${program}`)
  expect((await node(['app.mjs'])).stdout).toBe('[1001,1004,1009]\n')
})

test('JavaScript, as CommonJS through import()', async () => {
  writeFileSync(
    join(project(), 'app.cjs'),
    `(async () => { const { distribute } = await import('dicomp')\n${program} })()`,
  )
  expect((await node(['app.cjs'])).stdout).toBe('[1001,1004,1009]\n')
})

test('JavaScript, as CommonJS through require() of an ES module', async () => {
  writeFileSync(
    join(project(), 'require.cjs'),
    `const { distribute } = require('dicomp');\n(async () => {${program}})()`,
  )
  expect((await node(['require.cjs'])).stdout).toBe('[1001,1004,1009]\n')
})

test('TypeScript with the command line, progress to stderr', async () => {
  writeFileSync(
    join(project(), 'app.ts'),
    `import { distribute } from 'dicomp'\n${program.replace('(side) =>', '(side: number) =>').replace('constructor(side)', 'side: number; constructor(side: number)')}`,
  )
  const { stdout } = await node(['node_modules/dicomp/dist/cli.js', 'run', 'app.ts'])
  expect(stdout).toBe('[1001,1004,1009]\n')
})

test('the command line by its name', async () => {
  writeFileSync(join(project(), 'double.ts'), 'export default (x: number): number => x * 2\n')
  writeFileSync(join(project(), 'in.jsonl'), '1\n2\n3\n')
  await exec('npx', ['dicomp', 'map', 'double.ts', '--input', 'in.jsonl', '--output', 'out.jsonl'], {
    cwd: project(),
  })
  expect(readFileSync(join(project(), 'out.jsonl'), 'utf8')).toBe('2\n4\n6\n')
})

test('its types say what they should', async () => {
  writeFileSync(
    join(project(), 'types.ts'),
    `import { distribute } from 'dicomp'
     const f = distribute(async (n: number, s: string) => s.repeat(n))
     export const good: Promise<string> = f(2, 'a')
     // @ts-expect-error the second argument is missing
     export const bad = f(2)
    `,
  )
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
  ]
  const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')]
  await node([tsc, ...options, ...types, 'types.ts']).catch((error) => expect.fail(error.stdout))
})

test('publint has no findings', async () => {
  const publint = join(root, 'node_modules/publint/src/cli.js')
  const installed = join(project(), 'node_modules/dicomp')
  const { stdout } = await node([publint, installed, '--strict', '--pack', 'false'])
  expect(stdout).toMatch(/All good!/)
})

test('attw has no findings', async () => {
  const tarball = readFileSync(join(project(), 'package.json'), 'utf8').match(/file:([^"]+\.tgz)/)?.[1] ?? ''
  const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js')
  const args = [attw, join(project(), tarball), '--profile', 'esm-only', '--format', 'json']
  const { stdout } = await exec(process.execPath, args, { cwd: root, maxBuffer: 1 << 26 })
  const { analysis } = JSON.parse(stdout)
  expect(
    analysis.problems.filter(
      (problem: { resolutionKind?: string }) =>
        !['node10', 'node16-cjs'].includes(problem.resolutionKind ?? ''),
    ),
  ).toEqual([])
})
