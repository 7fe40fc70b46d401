/** The command `dicomp join`, as a person or a service runs it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dicomp, type Running, start, until } from '../cli/command.ts'
import { freePort } from '../helpers/nats-server.ts'
import { runtime } from '../helpers/runtimes.ts'
import { eventually, processesWith } from '../slots/leftovers.ts'
import { setUp, WAITS } from './setup.ts'

const setup = setUp()

const joins = (...options: string[]): Running => start(['join', setup.nats.url, ...options])
const joined = async ({ output, child }: Running): Promise<void> => {
  await until(() => child.exitCode !== null || /Joined|"joined"/.test(output.stderr + output.stdout))
  expect(child.exitCode, output.stderr).toBeNull()
}
const begun = (file: string): number =>
  existsSync(`${file}.begun`) ? readFileSync(`${file}.begun`, 'utf8').trim().split('\n').length : 0

describe('dicomp join', () => {
  it('works until it is told to leave, and finishes what it has begun', async () => {
    const { client } = setup
    const node = joins('--slots', '1', '--name', 'attic', '--tags', 'gpu,big', '--memory', '500MB')
    await joined(node)
    const heartbeat = await client.heartbeat(() => true)
    expect(heartbeat).toMatchObject({ name: 'attic', slots: 1, tags: ['gpu', 'big'], memory: 500e6 })
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toBe(1))
    node.child.kill('SIGTERM')
    await until(() => node.output.stderr.includes('Leaving: waiting for 1 tasks'))
    setup.allow(file)
    expect((await client.results(1)).values.get(0)).toBe('done')
    const { code, stderr, stdout } = await node.ended
    expect([code, stdout]).toEqual([0, ''])
    expect(stderr).toContain('as attic: 1 slot, node ')
    expect(stderr.trim().split('\n').at(-1)).toBe('Left.')
  })

  it('leaves at once when it is told twice; somebody else gets what ran', async () => {
    const { client } = setup
    const node = joins('--slots', '1', '--json')
    await joined(node)
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toBe(1))
    await setup.join()
    node.child.kill('SIGINT')
    await until(() => node.output.stdout.includes('"draining"'))
    node.child.kill('SIGINT')
    const { code, stdout } = await node.ended
    expect(code).toBe(130)
    const events = stdout.trim().split('\n')
    expect(events.map((line) => JSON.parse(line).event)).toEqual(
      expect.arrayContaining(['joined', 'draining', 'left']),
    )
    await eventually(() => expect(begun(file)).toBe(2))
    setup.allow(file)
    await client.results(1)
  })

  it('that is killed takes its slots with it', async () => {
    const { client } = setup
    const node = joins('--slots', '1')
    await joined(node)
    const file = setup.newFile()
    await client.task({ chunk: 1, inputs: [file], body: WAITS })
    await eventually(() => expect(begun(file)).toBe(1))
    const pid = Number(readFileSync(`${file}.begun`, 'utf8'))
    node.child.kill('SIGKILL')
    await node.ended
    await eventually(() => expect(existsSync(`/proc/${pid}`)).toBe(false))
  })

  it.runIf(process.platform === 'linux')('keeps its link out of the list of processes', async () => {
    const secret = setup.nats.url.replace('nats://', 'nats://user:hunter2hunter2@')
    const node = start(['join', secret])
    await joined(node)
    expect(processesWith('hunter2')).toEqual([])
    // Neither is it in what it says.
    node.child.kill('SIGTERM')
    const { stderr } = await node.ended
    expect(stderr).not.toContain('hunter2')
  })

  it('takes the link from a file, from stdin, or from the environment', async () => {
    const file = join(setup.dir, 'node.link')
    writeFileSync(file, `${setup.nats.url}\n`)
    const env = { DICOMP_URL: setup.nats.url }
    const ways = [
      start(['join', `@${file}`]),
      start(['join', '-'], { input: setup.nats.url }),
      start(['join'], { env }),
    ]
    await Promise.all(ways.map(joined))
    for (const { child } of ways) child.kill('SIGTERM')
    expect((await Promise.all(ways.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0, 0])
  })

  it.for(['node24', 'bun', 'deno'] as const)('runs tasks on %s', async (name, { skip }) => {
    const { client } = setup
    const command = await runtime(name)
    if (!command) return skip(`${name} cannot be installed here`)
    const node = joins('--runtime', command)
    await joined(node)
    const body = 'return globalThis.Bun ? "bun" : globalThis.Deno ? "deno" : process.version'
    await client.task({ chunk: 1, inputs: [0], body })
    const { values } = await client.results(1)
    expect(String(values.get(0)).replace(/^v24\..*/, 'node24')).toBe(name)
    expect(node.output.stderr).toContain(`${name.replace('24', ' 24')}`)
    node.child.kill('SIGTERM')
    expect((await node.ended).code).toBe(0)
  })
})

describe('dicomp join says what is wrong with', () => {
  const refused = async (args: string[], code: number, message: string): Promise<void> => {
    const ended = await dicomp(['join', ...args])
    expect(ended.stderr).toContain(message)
    expect([ended.code, ended.stdout]).toEqual([code, ''])
  }

  it('a server that is not there', async () => {
    await refused([`nats://127.0.0.1:${await freePort()}`], 1, 'DICOMP_E_CONNECT')
  })

  it.each([
    [['nonsense'], 'This is no link to a cluster'],
    [['@/nowhere/node.link'], 'Cannot read the link'],
    [['dicomp://a:b@127.0.0.1/main?role=client'], 'This is a link of a client'],
    [['nats://127.0.0.1', '--slots', '0'], 'a whole number from 1 up'],
    [['nats://127.0.0.1', '--tags', 'a b'], 'It must be tags'],
    [['nats://127.0.0.1', '--memory', 'much'], 'It must be a size'],
    [['nats://127.0.0.1', '--name', 'two words'], 'A name or tag of a node'],
    [['nats://127.0.0.1', '--runtime', '/nowhere/node'], '--runtime /nowhere/node cannot be started'],
    [['nats://127.0.0.1', '--runtime', '/bin/sh'], '--runtime /bin/sh'],
  ])('%j', async (args, message) => {
    const { code, stderr } = await dicomp(['join', ...args])
    expect(stderr).toContain(message)
    expect(code).toBeGreaterThan(0)
  })
})
