import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, connect, EncodeError, TaskTimeoutError, task } from '../../src/index.ts'
import { type Computers, startComputers } from './computers.ts'

let computers: Computers
let cluster: Cluster

beforeAll(async () => {
  computers = await startComputers()
  await Promise.all([
    computers.join('--slots', '2', '--name', 'one'),
    computers.join('--slots', '2', '--name', 'two', '--tags', 'gpu,big'),
  ])
  cluster = await connect(computers.link)
})
afterAll(async () => {
  await cluster.close()
  await computers.stop()
})

class Wave {
  readonly height: number
  constructor(height: number) {
    this.height = height
  }
  twice(): Wave {
    return new Wave(2 * this.height)
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('the API on a cluster', () => {
  it('knows its nodes', () => {
    expect(cluster.slots).toBe(4)
    expect(cluster.nodes()).toMatchObject([
      { name: 'one', state: 'working', slots: 2, tags: [] },
      { name: 'two', state: 'working', slots: 2, tags: ['gpu', 'big'] },
    ])
  })

  it('calls, maps and streams', async () => {
    const offset = 7
    const add = cluster.distribute((n: number) => n + offset)
    expect(await add(1)).toBe(8)
    expect(await add.map(range(20_000))).toEqual(range(20_000).map((n) => n + 7))
    expect(await add.map(Float64Array.from(range(1000)))).toEqual(
      Float64Array.from(range(1000).map((n) => n + 7)),
    )
    const seen: number[] = []
    for await (const { index, value } of add.stream(range(500), { ordered: true })) {
      expect(value).toBe(index + 7)
      seen.push(index)
    }
    expect(seen).toEqual(range(500))
    expect(await Promise.all(range(3000).map((n) => add(n)))).toEqual(range(3000).map((n) => n + 7))
  })

  it('runs on all nodes, in processes, whatever isolation was asked for', async () => {
    const where = cluster.distribute(
      async (_: number) => {
        await new Promise((resolve) => setTimeout(resolve, 100))
        return process.ppid
      },
      { isolation: 'thread' },
    )
    const parents = new Set(await where.map(range(16)))
    expect(parents.size).toBe(2)
    expect(parents.has(process.pid)).toBe(false)
  })

  it('keeps classes and errors, with a stack in terms of this file', async () => {
    const double = cluster.distribute((wave: Wave) => new Wave(wave.height).twice())
    const result = await double(new Wave(3))
    expect(result).toBeInstanceOf(Wave)
    expect(result.height).toBe(6)
    const fail = cluster.distribute((n: number) => {
      throw new RangeError(`no ${n}`, { cause: new Wave(n) })
    })
    const error = (await fail(5).catch((error: unknown) => error)) as RangeError
    expect(error).toBeInstanceOf(RangeError)
    expect(error.message).toBe('no 5')
    expect((error.cause as Wave).twice().height).toBe(10)
    expect(error.stack).toContain('api.test.ts')
  })

  it('tries again, limits time, and cancels', async () => {
    const flaky = cluster.distribute(
      (n: number) => {
        if (task.attempt < 3) throw new Error('again')
        return n * task.attempt
      },
      { retries: 3 },
    )
    expect(await flaky.map(range(10))).toEqual(range(10).map((n) => 3 * n))
    const sleep = cluster.distribute((ms: number) => new Promise((resolve) => setTimeout(resolve, ms, ms)))
    await expect(sleep.with({ timeout: 100 })(60_000)).rejects.toBeInstanceOf(TaskTimeoutError)
    const abort = new AbortController()
    const cancelled = sleep.with({ signal: abort.signal }).map(range(100).map(() => 60_000))
    setTimeout(() => abort.abort(new Error('enough')), 200)
    await expect(cancelled).rejects.toMatchObject({ code: 'DICOMP_E_CANCELLED' })
    expect(await sleep.map([1, 2, 3, 4])).toEqual([1, 2, 3, 4])
  })

  it('tells what tasks print and send on the way, in order', async () => {
    const logs: string[] = []
    const sent: unknown[] = []
    const talk = cluster.distribute(
      (n: number) => {
        console.log('hello', n)
        task.progress({ half: n / 2 })
        return n
      },
      {
        log: ({ index, stream, text }) => void logs.push(`${index} ${stream} ${text}`),
        onProgress: (value, index) => void sent.push([index, value]),
      },
    )
    await talk.map([10, 11])
    expect(logs.sort()).toEqual(['0 stdout hello 10\n', '1 stdout hello 11\n'])
    expect(sent.sort()).toEqual([
      [0, { half: 5 }],
      [1, { half: 5.5 }],
    ])
  })

  it('submits jobs, whose progress can be looked at', async () => {
    const slow = cluster.distribute(async (n: number) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (n === 13) throw new Error('unlucky')
      return n
    })
    const job = slow.submit(range(40))
    const outcomes = await job.settled()
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(39)
    expect(job.progress).toMatchObject({ total: 40, done: 39, failed: 1, running: 0, queued: 0 })
  })

  it('sends large arguments, results and captured values', async () => {
    const table = new Float64Array(200_000).fill(0.5)
    const scale = cluster.distribute((values: Float64Array) => values.map((v, i) => v * (table[i] as number)))
    const input = Float64Array.from(range(200_000))
    const results = await scale.map([input, input, input])
    for (const result of results) expect(result[199_999]).toBe(199_999 / 2)
  })

  it('matches tags, and says which node lacks one', async () => {
    const parent = cluster.distribute((_: number) => process.ppid)
    const tagged = new Set(await parent.map(range(20), { tags: ['gpu'] }))
    expect(tagged.size).toBe(1)
    const job = parent.submit([1], { tags: ['tpu'] })
    while (!cluster.waiting()?.includes('no node has'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(cluster.waiting()).toMatch(/no node has the tag tpu \(one: tags none; two: tags gpu, big\)/)
    job.cancel()
    await job.done
  })

  it('runs tasks that distribute', async () => {
    const inner = cluster.distribute((n: number) => n * 2)
    const outer = cluster.distribute(async (n: number) =>
      (await inner.map([n, n + 1])).reduce((a, b) => a + b),
    )
    expect(await outer.map([1, 2])).toEqual([6, 10])
  })

  it('refuses what cannot travel before it leaves', async () => {
    const echo = cluster.distribute((value: unknown) => value)
    const error = await echo(new SharedArrayBuffer(8)).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(EncodeError)
  })
})

describe('links', () => {
  it('that cannot work are refused at once, in words', async () => {
    await expect(connect('dicomp://name@host')).rejects.toMatchObject({ code: 'DICOMP_E_LINK' })
    await expect(connect('nats://127.0.0.1:1')).rejects.toMatchObject({ code: 'DICOMP_E_CONNECT' })
    await expect(connect({ url: computers.link, slots: 2 })).rejects.toMatchObject({
      code: 'DICOMP_E_OPTION',
    })
    const node = `dicomp://node:secret@127.0.0.1:${computers.nats.port}/main?role=node`
    await expect(connect(node)).rejects.toMatchObject({ code: 'DICOMP_E_LINK' })
  })
})

describe('a cluster of several programs', () => {
  it('runs a small job beside a huge one of somebody else', async () => {
    const other = await connect(computers.link)
    const nap = async (n: number): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 10))
      return n
    }
    const huge = cluster.distribute(nap).submit(range(20_000))
    while (huge.progress.done < 50) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await other.distribute(nap).map(range(40))).toEqual(range(40))
    expect(huge.progress.done).toBeLessThan(10_000)
    huge.cancel()
    await huge.done
    await other.close()
  })

  it('sends equal values once, and leaves nothing in the object store', async () => {
    const { connect: dial } = await import('@nats-io/transport-node')
    const nc = await dial({ servers: computers.nats.url })
    const stored = async (): Promise<number> => {
      const reply = await nc.request('$JS.API.STREAM.INFO.OBJ_dicomp_main')
      return reply.json<{ state: { bytes: number } }>().state.bytes
    }
    const before = await stored()
    const other = await connect(computers.link)
    const same = new Float64Array(100_000).fill(1)
    const spread = other.distribute((values: Float64Array) => values.map((v) => v + Math.random()))
    const results = await spread.map(Array.from({ length: 12 }, () => same))
    for (const result of results) expect(result[99_999]).toBeGreaterThanOrEqual(1)
    await other.close()
    // The code of functions stays, for the next program that has it.
    expect((await stored()) - before).toBeLessThan(100_000)
    await nc.close()
  })
})
