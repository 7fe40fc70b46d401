import { connect, type JobState } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect, rejection, run, shared, until } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

const idle = { running: 0, queued: 0, slots: 0, retries: 0 }

function gated(gate: Int32Array, length: number) {
  return Array.from({ length }, (_, i) => ({ i, gate }))
}

/** A task that ends when the gate is opened. */
const wait = async ({ i, gate }: { i: number; gate: Int32Array }): Promise<number> => {
  Atomics.add(gate, 1, 1)
  while (Atomics.load(gate, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  return i
}

describe('submit', () => {
  it('gives a job that runs by itself', async () => {
    const job = cluster.distribute((n: number) => n * 2, { name: 'double' }).submit([1, 2, 3])
    expect(job.name).toBe('double')
    expect(job.id).toMatch(/^double-\d+$/)
    expect(await job.done).toBe('done')
    expect(job.state).toBe('done')
    expect(await job.results()).toEqual([2, 4, 6])
    expect(await job.settled()).toEqual([2, 4, 6].map((value) => ({ status: 'fulfilled', value })))
    expect(job.progress).toMatchObject({ ...idle, total: 3, done: 3, failed: 0, etaMs: 0 })
  })

  it('has ids of its own for every job', () => {
    const f = cluster.distribute((n: number) => n)
    expect(f.submit([]).id).not.toBe(f.submit([]).id)
  })

  it('says how far it is', async () => {
    const gate = shared()
    const job = cluster.distribute(wait).submit(gated(gate, 6))
    await until(() => Atomics.load(gate, 1) === 2)
    expect(job.state).toBe('running')
    expect(job.progress).toMatchObject({ total: 6, done: 0, failed: 0, running: 2, queued: 4, slots: 2 })
    expect(job.progress.etaMs).toBe(undefined)
    Atomics.store(gate, 0, 1)
    expect(await job.results()).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('does not know the total before an iterable has ended', async () => {
    const gate = shared()
    let open: () => void = () => {}
    async function* inputs() {
      yield { i: 1, gate }
      await new Promise<void>((resolve) => (open = resolve))
      yield { i: 2, gate }
    }
    const job = cluster.distribute(wait).submit(inputs())
    await until(() => Atomics.load(gate, 1) === 1)
    expect(job.progress).toMatchObject({ total: undefined, etaMs: undefined, running: 1, queued: 0 })
    open()
    await until(() => job.progress.total === 2)
    Atomics.store(gate, 0, 1)
    expect(await job.results()).toEqual([1, 2])
  })

  it('runs every task, whatever becomes of the others', async () => {
    const f = cluster.distribute((n: number) => {
      if (n === 2) throw new RangeError('two')
      return n
    })
    const job = f.submit([1, 2, 3])
    expect(await job.done).toBe('failed')
    expect(await rejection(job.results())).toBeInstanceOf(RangeError)
    expect((await job.settled()).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(job.progress).toMatchObject({ total: 3, done: 2, failed: 1 })
  })

  it('over nothing is done', async () => {
    const job = cluster.distribute((n: number) => n).submit([])
    expect(await job.done).toBe('done')
    expect(await job.results()).toEqual([])
    expect(job.progress).toMatchObject({ ...idle, total: 0, done: 0, etaMs: 0 })
  })

  it('fails with InputError when the inputs throw, and keeps the outcomes of what was read', async () => {
    function* broken(): Generator<number> {
      yield 1
      yield 2
      throw new Error('broken')
    }
    const job = cluster.distribute((n: number) => n * 10).submit(broken())
    expect(await job.done).toBe('failed')
    const values: unknown[] = []
    const read = async (): Promise<void> => {
      for await (const item of job) if (item.status === 'fulfilled') values.push(item.value)
    }
    expect(await rejection(read())).toMatchObject({ code: 'DICOMP_E_INPUT', index: 2 })
    expect(values.sort()).toEqual([10, 20])
    expect(await rejection(job.results())).toMatchObject({ code: 'DICOMP_E_INPUT' })
  })

  it('rejects nobody who has not asked', async () => {
    const { code, stderr, stdout } = await run(`
      import { distribute } from 'dicomp'
      process.on('unhandledRejection', (error) => { console.log('unhandled', error); process.exit(9) })
      const f = distribute((n) => { throw new Error('no ' + n) })
      const job = f.submit([1, 2])
      console.log(await job.done)
      await f.map([1, 2, 3, 4]).catch((error) => console.log(error.message))
      await Promise.allSettled([f.settled([1, 2]), f(1), f.map([5])])
      for (const bad of [f.stream([1]), f.stream([1], { settled: true })]) void bad
      try { for await (const _ of f.stream([7, 8, 9])); } catch (error) { console.log(error.message) }
      const quiet = f.map([1, 2, 3]); quiet.catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, 50))
    `)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^failed\nno \d\nno \d\n$/)
  })
})

describe('a job as an async iterable', () => {
  it('yields outcomes in completion order, those from before it was asked first', async () => {
    const gate = shared()
    const f = cluster.distribute(async ({ i, gate }: { i: number; gate: Int32Array }) => {
      while (Atomics.load(gate, 0) < i) await new Promise((resolve) => setTimeout(resolve, 1))
      if (i === 1) throw new Error('one')
      return i
    })
    // Two slots: task 0 can wait for nothing, task 1 waits, and so on.
    const job = f.submit(gated(gate, 3))
    await until(() => job.progress.done === 1)
    const seen: unknown[] = []
    for await (const item of job) {
      seen.push(item.status === 'fulfilled' ? [item.index, item.value] : [item.index, item.reason.message])
      Atomics.add(gate, 0, 1)
    }
    expect(seen).toEqual([
      [0, 0],
      [1, 'one'],
      [2, 2],
    ])
    expect(await collect(job)).toHaveLength(3)
  })
})

describe('watch', () => {
  it('yields progress and ends with the final one', async () => {
    const gate = shared()
    const job = cluster.distribute(wait).submit(gated(gate, 4))
    const states: { done: number; state: JobState }[] = []
    for await (const { done } of job.watch(1)) {
      states.push({ done, state: job.state })
      if (states.length === 3) Atomics.store(gate, 0, 1)
    }
    expect(states.length).toBeGreaterThanOrEqual(4)
    expect(states[0]?.done).toBe(0)
    expect(states.at(-1)).toEqual({ done: 4, state: 'done' })
  })

  it('ends at once with a job that is over', async () => {
    const job = cluster.distribute((n: number) => n).submit([1])
    await job.done
    expect(await collect(job.watch('1h'))).toHaveLength(1)
  })

  it('ends with a job that is cancelled, however long the interval is', async () => {
    const gate = shared()
    const job = cluster.distribute(wait).submit(gated(gate, 4))
    setTimeout(() => job.cancel(), 5)
    expect((await collect(job.watch('1h'))).length).toBeGreaterThanOrEqual(1)
    expect(job.state).toBe('cancelled')
  })

  it.each([0, -1, Number.NaN, 'soon', null])('refuses the interval %o', (interval) => {
    const job = cluster.distribute((n: number) => n).submit([1])
    expect(() => job.watch(interval as number)).toThrow(/`interval` to be a duration/)
  })

  it('does not keep a program alive that has nothing to do', async () => {
    const { code } = await run(`
      import { distribute } from 'dicomp'
      const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }
      const job = distribute((n) => n).submit(never)
      void (async () => { for await (const p of job.watch('1h')); })()
    `)
    expect(code).toBe(0)
  })
})

describe('cancel', () => {
  it('ends the job with a CancelledError that has the reason', async () => {
    const gate = shared()
    const job = cluster.distribute(wait).submit(gated(gate, 10))
    await until(() => Atomics.load(gate, 1) === 2)
    job.cancel('changed my mind')
    job.cancel('again')
    expect(job.state).toBe('cancelled')
    expect(await job.done).toBe('cancelled')
    const error = await rejection(job.results())
    expect(error).toMatchObject({ code: 'DICOMP_E_CANCELLED', cause: 'changed my mind' })
    expect(await rejection(job.settled())).toBe(error)
    expect(Atomics.load(gate, 1)).toBe(2)
    expect(job.progress).toMatchObject({ done: 0, running: 0 })
  })

  it('changes nothing about a job that is done', async () => {
    const job = cluster.distribute((n: number) => n).submit([1])
    await job.done
    job.cancel()
    expect(job.state).toBe('done')
    expect(await job.results()).toEqual([1])
  })

  it('comes with disposal', async () => {
    const gate = shared()
    let state: (() => JobState) | undefined
    {
      await using job = cluster.distribute(wait).submit(gated(gate, 3))
      state = () => job.state
    }
    expect(state()).toBe('cancelled')
  })
})
