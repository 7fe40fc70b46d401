/** The commands for detached jobs, as a person or a script uses them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Ended, start, temporary } from '../cli/command.ts'
import { setUp, until } from './world.ts'

const world = setUp()

const run = (args: string[], input?: string): Promise<Ended> =>
  start(args, {
    env: { DICOMP_URL: world.nats.url, NODE_NO_WARNINGS: '1' },
    ...(input !== undefined && { input }),
  }).ended

async function json(args: string[], input?: string): Promise<unknown> {
  const { stdout, stderr, code } = await run([...args, '--json'], input)
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  return JSON.parse(stdout)
}

function taskFile(body: string): string {
  const file = join(temporary(), 'work.ts')
  writeFileSync(file, `export default async (n: number) => { ${body} }\n`)
  return file
}

test('from submit to rm', async () => {
  await world.node({ name: 'attic', tags: ['big'] })
  await world.driver()
  const dir = temporary()
  const task = taskFile(`console.log('see', n); if (n === 2) throw new TypeError('no two'); return { n }`)
  const submitted = (await json(['submit', task, '--retries', '1', '--keep', '1h'], '1\n2\n3\n')) as {
    id: string
  }
  expect(submitted).toEqual({ id: expect.stringMatching(/^work-\w{10}$/), name: 'work.ts', tasks: 3 })
  const { id } = submitted
  expect((await run(['job', id, '--wait', '--no-progress'])).code).toBe(1)

  const info = {
    id,
    name: 'work.ts',
    state: 'failed',
    user: 'anyone',
    progress: expect.objectContaining({ total: 3, done: 2, failed: 1, retries: 1, running: 0, queued: 0 }),
    submittedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    endedAt: expect.any(String),
    keptUntil: expect.any(String),
  }
  const one = (await json(['job', id])) as { endedAt: string; keptUntil: string }
  expect(one).toEqual(info)
  expect(Date.parse(one.keptUntil) - Date.parse(one.endedAt)).toBe(3_600_000)
  expect(await json(['jobs'])).toEqual([info])

  const results = await run(['results', id])
  expect(results).toMatchObject({ code: 1, stdout: '{"n":1}\n{"n":3}\n' })
  expect(results.stderr).toBe('task 1: TypeError: no two\n1 task has failed.\n')
  const out = join(dir, 'out.jsonl')
  expect((await run(['results', id, '--json', '--output', out])).code).toBe(1)
  expect(
    readFileSync(out, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { index: 0, status: 'fulfilled', value: { n: 1 } },
    { index: 1, status: 'rejected', error: { name: 'TypeError', message: 'no two' } },
    { index: 2, status: 'fulfilled', value: { n: 3 } },
  ])
  const { stdout: printed } = await run(['logs', id])
  expect(printed.trim().split('\n').sort()).toEqual(['0: see 1', '1: see 2', '1: see 2', '2: see 3'])
  expect(await json(['explain', id])).toMatchObject({
    id,
    state: 'failed',
    reason: 'it is over: 2 tasks done, 1 failed',
  })

  expect(await json(['retry', id])).toMatchObject({ id, state: 'queued' })
  expect((await run(['job', id, '--wait', '--no-progress'])).code).toBe(1)
  expect(await json(['status'])).toMatchObject({ pool: 'main', nodes: 1, slots: 2, jobs: { failed: 1 } })
  expect(await json(['rm', id])).toEqual({ removed: [id] })
  expect(await json(['jobs'])).toEqual([])
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
  expect(await run(['results', id])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('DICOMP_E_JOB'),
  })
})

test('explain names the need that is not met and the nodes that lack it', async () => {
  await world.node({ name: 'attic', tags: ['big'] })
  await world.node({ name: 'cellar' })
  const { id } = (await json(['submit', taskFile('return n'), '--tags', 'gpu,big'], '1\n')) as { id: string }
  expect(await json(['explain', id])).toMatchObject({
    state: 'queued',
    reason: expect.stringContaining('no driver is there that takes it'),
    drivers: { idle: 0, untaken: 1 },
  })
  await world.driver()
  await until(() => world.events.some(({ type }) => type === 'took'))
  const why = (await json(['explain', id])) as object
  expect(why).toMatchObject({
    id,
    need: { tags: ['gpu', 'big'] },
    nodes: [
      { name: 'attic', state: 'working', slots: 2, free: 2, lacks: ['the tag gpu'] },
      { name: 'cellar', lacks: ['the tag gpu', 'the tag big'] },
    ],
  })
  const { stdout } = await run(['explain', id])
  expect(stdout).toContain('no node has the tags gpu, big (attic: tags big; cellar: tags none)')
  expect(stdout).toMatch(/cellar +working +0\/2 +no: it lacks the tag gpu, the tag big/)
  expect(await run(['rm', id])).toMatchObject({ code: 1, stderr: expect.stringContaining('add --force') })
  expect((await run(['rm', '--force', id])).code).toBe(0)
})

test('cancel; results so far', async () => {
  await world.node()
  await world.driver()
  const task = taskFile('if (n > 0) await new Promise((resolve) => setTimeout(resolve, 60_000)); return n')
  const { id } = (await json(['submit', task], '0\n1\n2\n')) as { id: string }
  await until(async () => (await run(['results', id, '--no-wait'])).stdout === '0\n')
  expect(await json(['cancel', id])).toMatchObject({ id, state: expect.stringMatching(/^cancel/) })
  const { code, stderr, stdout } = await run(['results', id])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '0\n' })
  expect(stderr).toContain("The job 'work.ts' was cancelled")
  await json(['rm', id])
})

test('nodes, and one that is drained', async () => {
  await world.node({ name: 'attic', tags: ['big'], memory: 2 ** 30 })
  await world.node({ name: 'cellar', slots: 1 })
  expect(await json(['nodes'])).toMatchObject([
    { name: 'attic', state: 'working', slots: 2, free: 2, tags: ['big'], memory: 2 ** 30, chunks: 0 },
    { name: 'cellar', slots: 1, host: { runtime: `node ${process.versions.node}` } },
  ])
  expect((await run(['nodes'])).stdout).toMatch(/^NODE +STATE.*\nattic +working +0\/2 +big +1\.0 GiB/)
  expect(await run(['node', 'drain', 'roof'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('name one of: attic, cellar'),
  })
  expect(await json(['node', 'drain', 'cellar'])).toEqual({ node: 'cellar', state: 'draining', chunks: 0 })
  await until(async () => ((await json(['nodes'])) as unknown[]).length === 1)
})

test('a line that cannot be read ends submit, and leaves nothing', async () => {
  await world.node()
  const { code, stderr } = await run(['submit', taskFile('return n')], '1\n{oops\n3\n')
  expect(code).toBe(1)
  expect(stderr).toContain('Cannot use line 2 of stdin: it is not JSON')
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
})

test('dicomp run and dicomp map on a cluster', async () => {
  await world.node({ name: 'attic', tags: ['big'] })
  const link = join(temporary(), 'my.link')
  writeFileSync(link, world.nats.url)
  const task = taskFile('return process.ppid')
  const mapped = await start(['map', task, '--cluster', `@${link}`, '--tags', 'big', '--no-progress'], {
    input: '1\n',
  }).ended
  expect(mapped).toMatchObject({ code: 0, stderr: '' })
  // The slot is a child of the node, which runs in this process.
  expect(JSON.parse(mapped.stdout)).toBe(process.pid)
  const program = join(temporary(), 'program.mjs')
  const library = new URL('../../dist/index.js', import.meta.url).href
  writeFileSync(
    program,
    `import { distribute } from '${library}'\nconsole.log(await distribute(() => process.ppid)())\n`,
  )
  const ran = await start(['run', '--no-progress', '--cluster', `@${link}`, program]).ended
  expect(ran).toMatchObject({ code: 0, stdout: `${process.pid}\n` })
})
