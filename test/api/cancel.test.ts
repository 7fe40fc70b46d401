import { getEventListeners } from 'node:events'
import { CancelledError, connect, DeadlineError, TaskTimeoutError, task } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect, rejection, shared, until } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

/** Runs until it is aborted (`seen[1]`) or the gate `seen[2]` opens; says that it began (`seen[0]`). */
const patient = async (seen: Int32Array): Promise<string> => {
  Atomics.add(seen, 0, 1)
  const { signal } = task
  while (Atomics.load(seen, 2) === 0) {
    if (signal.aborted) {
      Atomics.add(seen, 1, 1)
      throw signal.reason
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return 'done'
}
const began = (seen: Int32Array) => until(() => Atomics.load(seen, 0) > 0)
const aborted = (seen: Int32Array) => until(() => Atomics.load(seen, 1) > 0)

describe('an AbortSignal', () => {
  it('that is aborted before: nothing runs', async () => {
    const seen = shared()
    const reason = new Error('too late')
    const f = cluster.distribute(patient, { signal: AbortSignal.abort(reason) })
    const stream = f.stream([seen])
    const job = f.submit([seen])
    expect(job.state).toBe('cancelled')
    for (const promise of [f(seen), f.map([seen]), f.settled([seen]), job.results(), collect(stream)]) {
      const error = await rejection(promise)
      expect(error).toBeInstanceOf(CancelledError)
      expect(error).toMatchObject({ code: 'DICOMP_E_CANCELLED', cause: reason })
    }
    expect(Atomics.load(seen, 0)).toBe(0)
  })

  it('that is aborted before: the inputs are not read', async () => {
    let read = 0
    function* inputs(): Generator<number> {
      read++
      yield 1
    }
    const f = cluster.distribute((n: number) => n)
    await rejection(f.map(inputs(), { signal: AbortSignal.abort() }))
    await rejection(collect(f.stream(inputs(), { signal: AbortSignal.abort() })))
    expect(read).toBe(0)
  })

  it.each(['call', 'map', 'settled', 'stream'] as const)('stops a %s that runs', async (kind) => {
    const seen = shared()
    const controller = new AbortController()
    const f = cluster.distribute(patient).with({ signal: controller.signal })
    const work =
      kind === 'call' ? f(seen) : kind === 'stream' ? collect(f.stream([seen])) : f[kind]([seen, seen, seen])
    await began(seen)
    controller.abort('enough')
    expect(await rejection(work as Promise<unknown>)).toMatchObject({
      code: 'DICOMP_E_CANCELLED',
      cause: 'enough',
    })
    await aborted(seen)
  })

  it('stops every open call of the handle, and no call of another', async () => {
    const seen = shared()
    const controller = new AbortController()
    const f = cluster.distribute(patient)
    const g = f.with({ signal: controller.signal })
    const other = f(seen)
    await began(seen)
    const open = [g(seen), g(seen), g(seen)]
    controller.abort()
    for (const call of open) expect(await rejection(call)).toBeInstanceOf(CancelledError)
    expect(await rejection(g(seen))).toBeInstanceOf(CancelledError)
    Atomics.store(seen, 2, 1)
    expect(await other).toBe('done')
  })

  it('that is aborted afterwards changes nothing', async () => {
    const controller = new AbortController()
    const f = cluster.distribute((n: number) => n, { signal: controller.signal })
    const [one, many] = [await f(1), await f.map([1, 2])]
    controller.abort()
    expect([one, many]).toEqual([1, [1, 2]])
  })

  it('keeps no listener of what is over', async () => {
    const { signal } = new AbortController()
    const listeners = (): number => getEventListeners(signal, 'abort').length
    const plain = cluster.distribute((n: number) => n)
    for (let i = 0; i < 20; i++) {
      const f = plain.with({ signal })
      await f(i)
      await f.map([i])
      await collect(f.stream([i]))
      for await (const _ of f.stream([1, 2, 3])) break
      await f.submit([i]).done
    }
    expect(listeners()).toBe(0)
    const calls = plain.with({ signal })
    const all = Promise.all(Array.from({ length: 100 }, (_, i) => calls(i)))
    expect(listeners()).toBe(1)
    await all
    expect(listeners()).toBe(0)
  })

  it('a task is told with a CancelledError', async () => {
    const seen = shared()
    const controller = new AbortController()
    const f = cluster.distribute(
      async (seen: Int32Array) => {
        const { signal } = task
        signal.addEventListener('abort', () => {
          if (signal.reason instanceof CancelledError && signal.reason.code === 'DICOMP_E_CANCELLED')
            Atomics.add(seen, 1, 1)
        })
        Atomics.add(seen, 0, 1)
        await new Promise(() => {})
      },
      { signal: controller.signal },
    )
    const call = f(seen)
    await began(seen)
    controller.abort()
    expect(await rejection(call)).toBeInstanceOf(CancelledError)
    await aborted(seen)
  })
})

describe('timeout', () => {
  it('ends a task that takes too long, and no other', async () => {
    const seen = shared()
    const f = cluster.distribute(patient, { timeout: 60 })
    const error = await rejection(f(seen))
    expect(error).toBeInstanceOf(TaskTimeoutError)
    expect(error).toMatchObject({ code: 'DICOMP_E_TIMEOUT', timeout: 60 })
    await aborted(seen)
    Atomics.store(seen, 2, 1)
    expect(await f(seen)).toBe('done')
  })

  it('ends a task that never yields', async () => {
    const loop = cluster.distribute(
      (n: number) => {
        while (n === 1);
        return n
      },
      { timeout: '100ms' },
    )
    const outcomes = await loop.settled([0, 1, 2, 3])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect((outcomes[1] as PromiseRejectedResult).reason).toBeInstanceOf(TaskTimeoutError)
  })

  it('counts from the start of the task: waiting for a slot is free', async () => {
    await using one = await connect({ slots: 1 })
    const nap = one.distribute((n: number) => new Promise<number>((resolve) => setTimeout(resolve, 60, n)), {
      timeout: 3000,
    })
    // Far more than 3 s for the last one, if its time ran from the submission.
    const short = nap.with({ timeout: 200 })
    expect(await short.map([1, 2, 3, 4, 5, 6, 7])).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('counts for each try, and a try that takes too long may be repeated', async () => {
    const f = cluster.distribute(
      async (seen: Int32Array) => {
        Atomics.add(seen, 0, 1)
        if (task.attempt < 3) await new Promise(() => {})
        return task.attempt
      },
      { timeout: 60, retries: 2 },
    )
    const seen = shared()
    expect(await f(seen)).toBe(3)
    expect(await f.map([seen])).toEqual([3])
    const choosy = f.with({ retries: { count: 2, when: (error) => !(error instanceof TaskTimeoutError) } })
    expect(await rejection(choosy(seen))).toBeInstanceOf(TaskTimeoutError)
  })

  it('of Infinity is none', async () => {
    expect(await cluster.distribute((n: number) => n, { timeout: Infinity, deadline: Infinity })(1)).toBe(1)
  })
})

describe('deadline', () => {
  it('includes the time in the queue', async () => {
    await using one = await connect({ slots: 1 })
    const seen = shared()
    const blocker = one.distribute(patient)(seen)
    await began(seen)
    const f = one.distribute((n: number) => n, { deadline: 50 })
    const errors = [await rejection(f(1)), await rejection(f.map([1, 2]))]
    for (const error of errors) {
      expect(error).toBeInstanceOf(DeadlineError)
      expect(error).toMatchObject({ code: 'DICOMP_E_DEADLINE', deadline: 50 })
    }
    Atomics.store(seen, 2, 1)
    expect(await blocker).toBe('done')
    expect(await f(2)).toBe(2)
  })

  it.each(['call', 'map', 'stream'] as const)('stops a %s that runs', async (kind) => {
    await using one = await connect({ slots: 1 })
    const seen = shared()
    const warm = one.distribute(patient)
    Atomics.store(seen, 2, 1)
    await warm(seen)
    Atomics.store(seen, 0, 0)
    Atomics.store(seen, 2, 0)
    const f = warm.with({ deadline: 80 })
    const work = kind === 'call' ? f(seen) : kind === 'map' ? f.map([seen]) : collect(f.stream([seen]))
    expect(await rejection(work as Promise<unknown>)).toBeInstanceOf(DeadlineError)
    expect(Atomics.load(seen, 0)).toBe(1)
    await aborted(seen)
    // The slot is free again.
    expect(await one.distribute((n: number) => n)(1)).toBe(1)
  })

  it('stops a call that never yields, so that its slot is free again', async () => {
    await using one = await connect({ slots: 1 })
    const f = one.distribute((n: number) => {
      while (n === 1);
      return n
    })
    expect(await f(0)).toBe(0)
    expect(await rejection(f.with({ deadline: 50 })(1))).toBeInstanceOf(DeadlineError)
    expect(await f(2)).toBe(2)
  })

  it('ends a pause between two tries', async () => {
    const f = cluster.distribute(
      () => {
        throw new Error('again')
      },
      { retries: { count: 5, delay: '1h', maxDelay: '1h' }, deadline: 50 },
    )
    expect(await rejection(f())).toBeInstanceOf(DeadlineError)
    expect(await rejection(f.map([1]))).toBeInstanceOf(DeadlineError)
  })

  it('leaves calls alone that were in time', async () => {
    const f = cluster.distribute((n: number) => n, { deadline: '20s' })
    expect(await Promise.all(Array.from({ length: 200 }, (_, i) => f(i)))).toHaveLength(200)
  })
})

describe('close', () => {
  it('fails what is open with ClosedError, at once, and what comes later', async () => {
    const closing = await connect({ slots: 2 })
    const seen = shared()
    const f = closing.distribute(patient)
    const open = [
      f(seen),
      f(seen),
      f(seen),
      f.map([seen, seen]),
      collect(f.stream([seen])),
      f.submit([seen]).results(),
    ]
    const outcomes = Promise.allSettled(open)
    await began(seen)
    await Promise.all([closing.close(), closing.close()])
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DICOMP_E_CLOSED' } })
    }
    for (const late of [f(seen), f.map([seen]), f.settled([seen]), collect(f.stream([seen]))]) {
      expect(await rejection(late as Promise<unknown>)).toMatchObject({ code: 'DICOMP_E_CLOSED' })
    }
    expect(Atomics.load(seen, 0)).toBeLessThanOrEqual(2)
  })

  it('fails 100,000 open calls without a long pause', async () => {
    const closing = await connect({ slots: 1 })
    const seen = shared()
    const blocker = closing.distribute(patient)(seen)
    const f = closing.distribute((n: number) => n)
    const calls = Promise.allSettled([blocker, ...Array.from({ length: 100_000 }, (_, i) => f(i))])
    await began(seen)
    await closing.close()
    expect((await calls).filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0)
  })
})

it('a task that asks for its signal after the abort finds it aborted', async () => {
  const seen = shared()
  const controller = new AbortController()
  const late = cluster.distribute(
    async (report: Int32Array) => {
      Atomics.store(report, 0, 1)
      while (Atomics.load(report, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      // The message about the abort is here before this timer.
      await new Promise((resolve) => setTimeout(resolve, 20))
      Atomics.store(report, 2, task.signal.aborted ? 1 : 2)
    },
    { signal: controller.signal },
  )
  const call = late(seen)
  await until(() => Atomics.load(seen, 0) === 1)
  controller.abort('enough')
  Atomics.store(seen, 1, 1)
  await expect(call).rejects.toThrow('cancelled')
  await until(() => Atomics.load(seen, 2) !== 0)
  expect(seen[2]).toBe(1)
})
