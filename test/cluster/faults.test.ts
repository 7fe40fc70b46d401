import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type Cluster, connect, task } from '../../src/index.ts'
import { freePort, startNats } from '../helpers/nats-server.ts'
import { type Computers, runProgram, startComputers } from './computers.ts'

let computers: Computers
let cluster: Cluster

beforeEach(async () => {
  computers = await startComputers()
  cluster = await connect(computers.link)
})
afterEach(async () => {
  await cluster.close()
  await computers.stop()
})

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Each task takes a while; its result tells which execution it was of. */
const work = () =>
  cluster.distribute(async (n: number) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return [n, task.attempt]
  })

it('a node that is killed loses nothing: its tasks run elsewhere', async () => {
  const [doomed] = await Promise.all([computers.join('--slots', '2'), computers.join('--slots', '2')])
  const long = cluster.distribute(async (n: number) => {
    await new Promise((resolve) => setTimeout(resolve, 600))
    return [n, task.attempt]
  })
  const results = long.map(range(8))
  await sleep(300)
  await doomed.kill('SIGKILL')
  const all = await results
  expect(all.map(([n]) => n)).toEqual(range(8))
  expect(all.filter(([, attempt]) => attempt === 2)).toHaveLength(2)
})

it('a node that sleeps and wakes reports late, and every task still has one result', async () => {
  const [sleeper] = await Promise.all([computers.join('--slots', '2'), computers.join('--slots', '2')])
  const counted = new Map<number, number>()
  const run = (async () => {
    for await (const { index, value } of work().stream(range(600))) {
      expect(value[0]).toBe(index)
      counted.set(index, (counted.get(index) ?? 0) + 1)
    }
  })()
  await sleep(400)
  await sleeper.kill('SIGSTOP')
  await sleep(2800)
  await sleeper.kill('SIGCONT')
  await run
  expect(counted.size).toBe(600)
  expect([...counted.values()].every((times) => times === 1)).toBe(true)
})

it('a server that dies and comes back with an empty memory loses nothing', async () => {
  await computers.join('--slots', '2')
  const results = work().map(range(150))
  await sleep(500)
  await computers.nats.kill('SIGKILL')
  await sleep(1000)
  await computers.nats.restart()
  expect((await results).map(([n]) => n)).toEqual(range(150))
  expect(await cluster.distribute((n: number) => -n)(1)).toBe(-1)
})

it('a client whose nodes have left says so, and goes on when one joins', async () => {
  const warned: string[] = []
  const note = (warning: Error & { code?: string }): void => {
    if (warning.code === 'DICOMP_W_WAITING') warned.push(warning.message)
  }
  process.on('warning', note)
  const result = cluster.distribute((n: number) => n + 1)(1)
  while (warned.length === 0) await sleep(50)
  expect(warned[0]).toMatch(
    /Tasks wait \(\d s\): no node is in the pool main; add one: npx dicomp join <link>/,
  )
  expect(cluster.waiting()).toMatch(/no node is in the pool/)
  await computers.join('--slots', '1')
  expect(await result).toBe(2)
  while (cluster.waiting() !== undefined) await sleep(50)
  process.off('warning', note)
})

it('a program that starts before its cluster waits for it, and ends by itself', {
  timeout: 60_000,
}, async () => {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-early-'))
  const file = join(dir, 'early.mjs')
  const dicomp = import.meta.resolve('dicomp')
  writeFileSync(
    file,
    `import { distribute } from ${JSON.stringify(dicomp)}
     const add = distribute((a, b) => a + b)
     console.log(await add(1, 2), (await add.with({ name: 'x' }).map([1, 2])).length)`,
  )
  let warn = (): void => {}
  const warned = new Promise<void>((resolve) => (warn = resolve))
  const program = runProgram([file], { DICOMP_URL: `nats://127.0.0.1:${port}` }, (text) => {
    if (text.includes('DICOMP_W_WAITING')) warn()
  })
  await warned
  const nats = await startNats({ port })
  const late = await startComputers(nats)
  await late.join('--slots', '1')
  const { code, stdout, stderr } = await program
  expect(stderr).toMatch(/DICOMP_W_WAITING.*no engine at 127\.0\.0\.1:\d+ \(pool main\)/)
  expect(stdout).toBe('3 2\n')
  expect(code).toBe(0)
  await late.stop()
  rmSync(dir, { recursive: true })
})

it('a program whose link is refused fails with the reason', async () => {
  const code = `import(${JSON.stringify(import.meta.resolve('dicomp'))}).then(({ distribute }) => distribute((n) => n)(1)).catch((e) => console.log(e.code))`
  const { stdout } = await runProgram(['-e', code], { DICOMP_URL: 'dicomp://name@host' })
  expect(stdout).toBe('DICOMP_E_LINK\n')
})
