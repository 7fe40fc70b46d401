/** Runs of `dicomp map` that end early, and go on. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { dicomp, fixture, start, temporary, until } from './command.ts'

const COUNT = 1500
let dir: string
const at = (name: string) => join(dir, name)
const size = (name: string) => statSync(at(name), { throwIfNoEntry: false })?.size ?? 0
const numbersOf = (name: string) =>
  existsSync(at(name))
    ? readFileSync(at(name), 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => Number(line.replace(/\D/g, '')))
    : []
const all = Array.from({ length: COUNT }, (_, n) => n)
const lines = all.map((n) => `{"n":${n}}\n`).join('')
const command = (...more: string[]) => [
  'map',
  fixture('logged.ts'),
  '-i',
  at('in.jsonl'),
  '-o',
  at('out.jsonl'),
  ...more,
]

beforeEach(() => {
  dir = temporary()
  writeFileSync(at('in.jsonl'), lines)
})

test.each([
  ['in order', []],
  ['unordered', ['--unordered']],
])(
  'killed with SIGKILL again and again, %s: nothing is lost, nothing in the output is done again',
  async (_, more) => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    let random = seed
    const next = () => (random = (random * 48271) % 0x7fffffff) / 0x7fffffff
    let kills = 0
    for (let run = 0; ; run++) {
      const before = numbersOf('out.jsonl')
      const log = `executed-${run}`
      const going = start(command('--resume', ...more, '--env', `EXECUTED=${at(log)}`))
      if (run < 8) {
        // Sometimes while it starts, mostly while it writes.
        const target = size('out.jsonl') + Math.floor(next() * 4000)
        const deadline = run % 4 === 3 ? Date.now() + next() * 400 : Number.POSITIVE_INFINITY
        let over = false
        void going.ended.then(() => (over = true))
        await until(() => over || Date.now() > deadline || size('out.jsonl') > target)
        going.child.kill('SIGKILL')
      }
      const ended = await going.ended
      const executed = new Set(numbersOf(log))
      const twice = before.filter((n) => executed.has(n))
      expect(twice, `seed ${seed}, run ${run}: done again although in the output`).toEqual([])
      if (ended.signal === 'SIGKILL') kills++
      else {
        expect(ended, `seed ${seed}`).toMatchObject({ code: 0 })
        break
      }
    }
    expect(kills).toBeGreaterThan(2)
    const output = numbersOf('out.jsonl')
    expect(more.length > 0 ? output.sort((a, b) => a - b) : output, `seed ${seed}`).toEqual(all)
    expect(existsSync(at('out.jsonl.dicomp'))).toBe(false)
    expect(await dicomp(command('--resume', ...more))).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('is complete'),
    })
  },
)

test.each<[NodeJS.Signals, number]>([
  ['SIGINT', 130],
  ['SIGTERM', 143],
])('%s keeps what is done, says how to go on, and exits with %i', async (signal, code) => {
  const going = start(command())
  await until(() => size('out.jsonl') > 1000)
  going.child.kill(signal)
  const ended = await going.ended
  expect(ended.code).toBe(code)
  expect(ended.stderr).toMatch(
    new RegExp(
      `Stopped by ${signal}\\.\\n[\\d,]+ lines are done and saved in .*\\n {2}dicomp map .* --resume\\n$`,
    ),
  )
  const done = numbersOf('out.jsonl')
  expect(done).toEqual(all.slice(0, done.length))
  const refused = await dicomp(command())
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/DICOMP_E_RESUME: .*interrupted run\n {2}Fix: .*--resume/),
  })
  expect(await dicomp(command('--resume'))).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/and [\d,]+ in an earlier run/),
  })
  expect(numbersOf('out.jsonl')).toEqual(all)
})

test('Ctrl-C ends a run whose stdin is silent', async () => {
  const going = start(['map', fixture('shout.ts'), '--lines'], { shell: '(echo one; sleep 30) | exec "$@"' })
  await until(() => going.output.stdout.includes('ONE'))
  // The shell waits for the whole pipeline: interrupt the command itself.
  const pid = Number(
    readFileSync(`/proc/${going.child.pid}/task/${going.child.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .at(-1),
  )
  process.kill(pid, 'SIGINT')
  await until(() => going.output.stderr.includes('Stopped by SIGINT'))
  await until(() => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '))
})

test('a full disk stops the run; with space again it goes on', async () => {
  // A limit on the size of files is a full disk that needs no root.
  const full = await dicomp(command(), { shell: 'ulimit -f 8; exec "$@"' })
  expect(full.code).toBe(1)
  expect(full.stderr).toMatch(/^error DICOMP_E_FILE: Cannot write .*(EFBIG|ENOSPC)\)\n {2}Fix: /m)
  const done = numbersOf('out.jsonl')
  expect(done).toEqual(all.slice(0, done.length))
  expect(await dicomp(command('--resume'))).toMatchObject({ code: 0 })
  expect(numbersOf('out.jsonl')).toEqual(all)
})

test('a full device behind stdout is an error', async () => {
  const { code, stderr } = await dicomp(['map', fixture('shout.ts'), '--lines', '--no-progress'], {
    shell: '"$@" > /dev/full',
    input: 'a\nb\n',
  })
  expect(code).toBe(1)
  expect(stderr).toMatch(/error DICOMP_E_FILE: Cannot write to stdout: the disk is full \(ENOSPC\)/)
})

test('a reader that has seen enough ends the run without a word', async () => {
  const { stdout, stderr } = await dicomp(['map', fixture('shout.ts'), '--lines', '--no-progress'], {
    shell: '(yes | ("$@"; echo "code $?" >&2) | head -2)',
  })
  expect({ stdout, stderr }).toEqual({ stdout: 'Y\nY\n', stderr: 'code 141\n' })
})

test('an input that is another one is refused before anything is done', async () => {
  const going = start(command())
  await until(() => size('out.jsonl') > 1000)
  going.child.kill('SIGKILL')
  await going.ended
  const before = readFileSync(at('out.jsonl'))
  writeFileSync(at('in.jsonl'), lines.replace('{"n":2}', '{"n":-2}'))
  expect(await dicomp(command('--resume'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /DICOMP_E_RESUME: .*in\.jsonl is not the input of the run that is to be resumed/,
    ),
  })
  expect(numbersOf('out.jsonl')).toEqual(all.slice(0, before.toString().split('\n').length - 1))
  // Lines at the end are welcome.
  writeFileSync(at('in.jsonl'), `${lines}{"n":${COUNT}}\n`)
  expect(await dicomp(command('--resume'))).toMatchObject({ code: 0 })
  expect(numbersOf('out.jsonl')).toEqual([...all, COUNT])
})
