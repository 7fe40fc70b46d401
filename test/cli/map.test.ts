import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { dicomp, fixture, temporary } from './command.ts'

let dir: string
const at = (name: string) => join(dir, name)
const read = (name: string) => readFileSync(at(name), 'utf8')
const jsonl = (values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ n: from + i }))
const squares = (count: number) => numbers(count).map(({ n }) => ({ n, square: n * n }))
const without13 = (values: { n: number }[]) => values.filter(({ n }) => n !== 13)
const files = () => ['--input', at('in.jsonl'), '--output', at('out.jsonl')]

beforeEach(() => {
  dir = temporary()
})

test('a file to a file, in order, with TypeScript and its imports', async () => {
  writeFileSync(at('in.jsonl'), jsonl(without13(numbers(500))))
  const { code, stdout, stderr } = await dicomp(['map', fixture('square.ts'), ...files()])
  expect(stderr).toMatch(/^✔ {2}square\.ts {2}499 done in .* → .*out\.jsonl\n$/)
  expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
  expect(read('out.jsonl')).toBe(jsonl(without13(squares(500))))
  expect(existsSync(at('out.jsonl.dicomp'))).toBe(false)
})

test('stdin to stdout, text, unordered', async () => {
  const input = Array.from({ length: 300 }, (_, i) => `line ${i}`)
  const args = ['map', fixture('shout.ts'), '--lines', '--unordered', '--no-progress']
  const { code, stdout, stderr } = await dicomp(args, { input: `${input.join('\n')}\n` })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout.trimEnd().split('\n').sort()).toEqual(input.map((line) => line.toUpperCase()).sort())
})

test('an empty input gives an empty output', async () => {
  writeFileSync(at('in.jsonl'), '')
  expect(await dicomp(['map', fixture('square.ts'), ...files(), '--no-progress'])).toMatchObject({
    code: 0,
    stderr: '',
  })
  expect(read('out.jsonl')).toBe('')
})

test('a task that fails stops the run, with its own stack; --resume tries again', async () => {
  writeFileSync(at('in.jsonl'), jsonl(numbers(30)))
  const stopped = await dicomp(['map', fixture('square.ts'), ...files()])
  expect(stopped.code).toBe(1)
  expect(stopped.stderr).toMatch(
    /error: RangeError: 13 is not for us\n {4}at square \(.*square-helper\.ts:2:\d+\)/,
  )
  expect(stopped.stderr).toMatch(/at line 14 of .*in\.jsonl: \{"n":13\}\n13 lines are done and saved/)
  expect(stopped.stderr).not.toMatch(/dist|node_modules|sent to/)
  expect(read('out.jsonl')).toBe(jsonl(squares(13)))
  const again = await dicomp(['map', fixture('square.ts'), ...files(), '--resume'])
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('13 is not for us') })
  const further = await dicomp(['map', fixture('square.ts'), ...files(), '--resume', '--keep-going'])
  expect(further).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/1 failed .*and 13 in an earlier run/),
  })
  expect(read('out.jsonl')).toBe(jsonl(without13(squares(30))))
})

test('failures are collected, malformed lines too, and the rest is done', async () => {
  writeFileSync(at('in.jsonl'), `${jsonl(numbers(20))}{"n": oops}\n\n${jsonl(numbers(10, 20))}`)
  const { code, stderr, stdout } = await dicomp([
    'map',
    fixture('square.ts'),
    ...files(),
    '--errors',
    at('bad.jsonl'),
    '--json',
  ])
  expect(code).toBe(1)
  expect(stderr).toContain('line 14: RangeError: 13 is not for us')
  expect(stderr).toMatch(/line 21: DicompError: Cannot use line 21 of .*in\.jsonl: it is not JSON/)
  expect(JSON.parse(stdout)).toMatchObject({ state: 'done', done: 29, failed: 2, earlier: 0 })
  expect(read('out.jsonl')).toBe(jsonl(without13(squares(30))))
  const failures = read('bad.jsonl')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(failures.map(({ line, input }) => [line, input]).sort()).toEqual([
    [14, { n: 13 }],
    [21, '{"n": oops}'],
  ])
})

test('a malformed line stops the run with its number, after what came before it', async () => {
  writeFileSync(at('in.jsonl'), `${jsonl(numbers(5))}nonsense\n${jsonl(numbers(5))}`)
  const { code, stderr } = await dicomp(['map', fixture('square.ts'), ...files()])
  expect(code).toBe(1)
  expect(stderr).toMatch(
    /error DICOMP_E_LINE: Cannot use line 6 of .*in\.jsonl: it is not JSON: .*\n {4}nonsense\n {2}Fix: .*--keep-going/,
  )
  expect(read('out.jsonl')).toBe(jsonl(squares(5)))
})

test('retries, timeout, concurrency, isolation and env reach the tasks', async () => {
  writeFileSync(
    at('flaky.ts'),
    `export default async (x: number) => {
      if (x === 3) await new Promise((resolve) => setTimeout(resolve, 60_000))
      return [process.env.GREETING, process.pid !== ${'Number(process.env.PARENT)'}]
    }\n`,
  )
  const options = [
    '--timeout',
    '300ms',
    '--retries',
    '1',
    '--concurrency',
    '2',
    '--isolation',
    'process',
    '--keep-going',
  ]
  const env = ['--env', 'GREETING=hello', '--env', 'PARENT=1']
  const { code, stdout, stderr } = await dicomp(['map', at('flaky.ts'), ...options, ...env], {
    input: '1\n2\n3\n',
  })
  expect(stderr).toMatch(/line 3: TaskTimeoutError: .*300 ms/)
  expect(stdout).toBe('["hello",true]\n'.repeat(2))
  expect(code).toBe(1)
})

test.each<[string, string[], number, RegExp]>([
  [
    'a module without default export',
    [fixture('named.ts')],
    1,
    /error DICOMP_E_MODULE: .*named\.ts has no default export; it exports solve\n {2}Fix: /,
  ],
  ['a module that is not there', ['none.ts'], 1, /error DICOMP_E_MODULE: There is no module none\.ts/],
  [
    'an input that is not there',
    [fixture('square.ts'), '-i', '/none/in'],
    1,
    /error DICOMP_E_FILE: Cannot read \/none\/in: .*ENOENT/,
  ],
  ['an input that is a directory', [fixture('square.ts'), '-i', '/'], 1, /Cannot read \/: it is a directory/],
  [
    'an output that cannot be written',
    [fixture('square.ts'), '-o', '/none/out'],
    1,
    /error DICOMP_E_FILE: Cannot write .*\/none\/out.*ENOENT/,
  ],
  [
    '--resume without output',
    [fixture('square.ts'), '--resume'],
    2,
    /error DICOMP_E_OPTION: --resume needs an output/,
  ],
  ['--bail with --keep-going', [fixture('square.ts'), '--bail', '--keep-going'], 2, /cannot be used with/],
  ['a negative number', [fixture('square.ts'), '--retries', '-1'], 2, /whole number from 0 up/],
  ['0 slots', [fixture('square.ts'), '--slots', '0'], 2, /whole number from 1 up/],
  ['a negative timeout', [fixture('square.ts'), '--timeout', '-5s'], 2, /duration like 30s/],
  ['an unknown option', [fixture('square.ts'), '--nope'], 2, /unknown option '--nope'/],
])('%s is a clear error', async (_, args, code, message) => {
  const ended = await dicomp(['map', ...args], { cwd: dir, input: '1\n' })
  expect(ended.stderr).toMatch(message)
  expect(ended.stderr).not.toMatch(/\n +at /)
  expect(ended).toMatchObject({ code, stdout: '' })
})

test('a default export that is no function is a clear error', async () => {
  writeFileSync(at('value.ts'), 'export default 42\n')
  const { code, stderr } = await dicomp(['map', at('value.ts')], { input: '1\n2\n' })
  expect(code).toBe(1)
  expect(stderr).toMatch(/^error DICOMP_E_\w+: /)
  expect(stderr).toMatch(/function/)
})

test('a module that throws while it is loaded is a clear error, once', async () => {
  writeFileSync(at('throws.ts'), "throw new Error('no database here')\nexport default (x: number) => x\n")
  const { code, stderr } = await dicomp(['map', at('throws.ts'), '--keep-going'], { input: '1\n2\n3\n' })
  expect(code).toBe(1)
  expect(stderr.match(/no database here/g)?.length).toBeGreaterThan(0)
  expect(stderr).toMatch(/^error DICOMP_E_LOAD/)
})

test('memory does not grow with the input', async () => {
  // 60 MB of input (more than twice that as objects) through a heap of 48 MB.
  const filler = 'x'.repeat(280)
  writeFileSync(
    at('in.jsonl'),
    Array.from({ length: 200_000 }, (_, n) => `{"n":${n},"filler":"${filler}"}\n`).join(''),
  )
  writeFileSync(at('n.ts'), 'export default (input: { n: number }) => input.n\n')
  const env = { NODE_OPTIONS: '--max-old-space-size=48' }
  expect(await dicomp(['map', at('n.ts'), ...files(), '--no-progress'], { env })).toMatchObject({
    code: 0,
    stderr: '',
  })
  expect(read('out.jsonl')).toBe(jsonl(numbers(200_000).map(({ n }) => n)))
})

test('nothing is overwritten before the run can begin', async () => {
  mkdirSync(at('sub'))
  writeFileSync(at('out.jsonl'), 'precious\n')
  const { code } = await dicomp(['map', fixture('square.ts'), '-i', at('none'), '-o', at('out.jsonl')])
  expect(code).toBe(1)
  expect(read('out.jsonl')).toBe('precious\n')
})

test('what tasks print does not end up among the results', async () => {
  writeFileSync(
    at('noisy.ts'),
    "export default (x: number) => { console.error('working on', x); return x }\n",
  )
  const { stdout, stderr } = await dicomp(['map', at('noisy.ts')], { input: '1\n2\n' })
  expect(stdout).toBe('1\n2\n')
  expect(stderr).toContain('working on 2')
})
