import { connect, SlotCrashedError, task, transfer } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { rejection } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

/** Fails until the attempt `until`. */
const flaky = (until: number): number => {
  if (task.attempt < until) throw new RangeError(`attempt ${task.attempt}`)
  return task.attempt
}

describe('retries', () => {
  it('do not happen unless asked for', async () => {
    const f = cluster.distribute(flaky)
    expect(await rejection(f(2))).toMatchObject({ message: 'attempt 1' })
    expect(await rejection(f.map([1, 2]))).toMatchObject({ message: 'attempt 1' })
  })

  it('repeat a task that throws, until it works or they are used up', async () => {
    const f = cluster.distribute(flaky, { retries: 2 })
    expect(await f(1)).toBe(1)
    expect(await f(3)).toBe(3)
    expect(await rejection(f(4))).toMatchObject({ message: 'attempt 3' })
    expect(await f.map([1, 2, 3, 2, 1])).toEqual([1, 2, 3, 2, 1])
    const outcomes = await f.settled([1, 4, 3])
    expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { message: 'attempt 3' } })
    const job = f.submit([1, 2, 3, 4])
    await job.done
    expect(job.progress).toMatchObject({ done: 3, failed: 1, retries: 5 })
  })

  it('repeat a task whose promise rejects', async () => {
    const f = cluster.distribute(async (until: number) => flaky(until), { retries: 5 })
    expect(await Promise.all([f(6), f(2), f(1)])).toEqual([6, 2, 1])
  })

  it('keep inputs of a generator for as long as they may be needed', async () => {
    function* inputs(): Generator<{ until: number; text: string }> {
      for (let i = 0; i < 50; i++) yield { until: 1 + (i % 3), text: `t${i}` }
    }
    const f = cluster.distribute(
      ({ until, text }: { until: number; text: string }) => {
        if (task.attempt < until) throw new Error(text)
        return text
      },
      { retries: 2 },
    )
    expect(await f.map(inputs())).toEqual(Array.from({ length: 50 }, (_, i) => `t${i}`))
  })

  it('ask `when`, with the real error', async () => {
    const seen: unknown[] = []
    const when = vi.fn((error: unknown) => {
      seen.push(error)
      return error instanceof RangeError && error.message === 'attempt 1'
    })
    const f = cluster.distribute(flaky, { retries: { count: 9, when } })
    expect(await rejection(f(9))).toMatchObject({ message: 'attempt 2' })
    expect(seen).toHaveLength(2)
    expect(seen[0]).toBeInstanceOf(RangeError)
    expect(await rejection(f.map([9]))).toMatchObject({ message: 'attempt 2' })
  })

  it('fail the task with what `when` throws', async () => {
    const when = (): boolean => {
      throw new TypeError('when is broken')
    }
    const f = cluster.distribute(flaky, { retries: { count: 9, when } })
    expect(await rejection(f(2))).toMatchObject({ message: 'when is broken' })
    expect(await rejection(f.map([2]))).toMatchObject({ message: 'when is broken' })
  })

  it('wait `delay`, times `factor`, at most `maxDelay`', async () => {
    const real = setTimeout
    const pauses: number[] = []
    vi.stubGlobal('setTimeout', (call: () => void, ms?: number) => {
      // Pauses above 1 s are of the retries; none of them has to be sat through.
      if (ms === undefined || ms < 1000) return real(call, ms)
      pauses.push(ms)
      return real(call, 1)
    })
    try {
      const policy = { count: 5, delay: '2s', factor: 3, maxDelay: '40s' }
      const f = cluster.distribute(flaky, { retries: policy })
      expect(await f(6)).toBe(6)
      expect(pauses).toEqual([2000, 6000, 18_000, 40_000, 40_000])
      pauses.length = 0
      expect(await f.map([4])).toEqual([4])
      expect(pauses).toEqual([2000, 6000, 18_000])
    } finally {
      vi.unstubAllGlobals()
    }
  })

  it('leave no pause behind when the job is cancelled', async () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const f = cluster.distribute(flaky, { retries: { count: 5, delay: '1h', maxDelay: '1h' } })
    const controller = new AbortController()
    const call = f.with({ signal: controller.signal })(3)
    const job = f.submit([3, 3])
    while (job.progress.retries < 2) await new Promise((resolve) => setTimeout(resolve, 1))
    job.cancel()
    controller.abort()
    await rejection(call)
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBeLessThanOrEqual(
      before,
    )
  })

  it('have a budget apart from that of crashed slots', async () => {
    await using processes = await connect({ slots: 1, isolation: 'process' })
    const f = processes.distribute(
      (how: string) => {
        if (task.attempt === 1) process.exit(3)
        if (task.attempt === 2) throw new Error('second')
        return `${how} ${task.attempt}`
      },
      { retries: 1 },
    )
    expect(await f('call')).toBe('call 3')
    expect(await f.map(['map'])).toEqual(['map 3'])
  })

  it('give up a task that has killed `crashes` slots', async () => {
    await using processes = await connect({ slots: 1, isolation: 'process' })
    const f = processes.distribute((code: number) => process.exit(code), { retries: { crashes: 2 } })
    const error = await rejection(f(5))
    expect(error).toBeInstanceOf(SlotCrashedError)
    expect(error).toMatchObject({ exitCode: 5, code: 'DICOMP_E_SLOT_CRASHED' })
    expect((error as Error).message).toMatch(/killed 2 slots?/)
  })
})

describe('transfer and retries', () => {
  it('say that a buffer which was moved cannot be sent again', async () => {
    const f = cluster.distribute(
      (data: Uint8Array) => {
        if (task.attempt === 1) throw new Error('first')
        return data.length
      },
      { retries: 1 },
    )
    expect(await f(new Uint8Array(10))).toBe(10)
    const error = await rejection(f(transfer(new Uint8Array(10))))
    expect(error).toMatchObject({ code: 'DICOMP_E_ENCODE' })
    expect((error as Error).message).toContain('transfer()')
    expect(await rejection(f.map([transfer(new Uint8Array(10))]))).toMatchObject({ code: 'DICOMP_E_ENCODE' })
  })
})
