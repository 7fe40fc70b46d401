import { connect, type LogEntry, task } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { rejection, run } from './helpers.ts'

const levels = ['thread', 'process'] as const
let clusters: Record<(typeof levels)[number], Awaited<ReturnType<typeof connect>>>
beforeAll(async () => {
  clusters = {
    thread: await connect({ slots: 2 }),
    process: await connect({ slots: 2, isolation: 'process' }),
  }
})
afterAll(() => Promise.all([clusters.thread.close(), clusters.process.close()]))

describe.each(levels)('task in a %s', (level) => {
  const at = () => clusters[level]

  it('knows its attempt, its index and its job', async () => {
    const who = at().distribute(async (_: unknown) => {
      await null
      return [task.attempt, task.index, task.jobId] as const
    })
    const job = who.submit(['a', 'b', 'c'])
    expect(await job.results()).toEqual([
      [1, 0, job.id],
      [1, 1, job.id],
      [1, 2, job.id],
    ])
    const sync = at().distribute((_: unknown) => task.index)
    expect(await sync.map(Array.from({ length: 500 }, () => 0))).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    )
  })

  it('has a signal that is not aborted', async () => {
    const f = at().distribute(() => [
      task.signal instanceof AbortSignal,
      task.signal.aborted,
      [task.signal, task.signal].every((signal, _, [first]) => signal === first),
    ])
    expect(await f()).toEqual([true, false, true])
  })

  it('sends progress, each value with the index of its task, in order', async () => {
    const seen: [unknown, number][] = []
    const f = at().distribute(
      async (n: number) => {
        task.progress({ n, part: 1 })
        await new Promise((resolve) => setTimeout(resolve, 1))
        task.progress(new Map([['part', 2]]))
        return n
      },
      { onProgress: (value, index) => seen.push([value, index]) },
    )
    await f.map([10, 20, 30])
    for (const index of [0, 1, 2]) {
      const mine = seen.filter(([, at]) => at === index).map(([value]) => value)
      expect(mine).toEqual([{ n: 10 * (index + 1), part: 1 }, new Map([['part', 2]])])
    }
    seen.length = 0
    await f(5)
    expect(seen.map(([value]) => value)).toEqual([{ n: 5, part: 1 }, new Map([['part', 2]])])
  })

  it('refuses progress that cannot travel, inside the task', async () => {
    const f = at().distribute(() => task.progress({ open: () => 1 }))
    expect(await rejection(f())).toMatchObject({ code: 'DICOMP_E_ENCODE', path: 'progress.open' })
  })

  it('sends what is printed to a function, attributed', async () => {
    const seen: LogEntry[] = []
    const f = at().distribute(
      async (n: number) => {
        console.log(`out ${n}`)
        await new Promise((resolve) => setTimeout(resolve, 1))
        console.error(`err ${n}`)
        task.log('log', n, { n })
      },
      { log: (entry) => seen.push(entry) },
    )
    await f.map([7, 8])
    for (const index of [0, 1]) {
      const n = 7 + index
      const text = (stream: string): string =>
        seen
          .filter((entry) => entry.index === index && entry.stream === stream)
          .map((entry) => entry.text)
          .join('')
      expect(text('stdout')).toBe(`out ${n}\nlog ${n} { n: ${n} }\n`)
      expect(text('stderr')).toBe(`err ${n}\n`)
    }
    seen.length = 0
    await f(9)
    expect(seen.map(({ text }) => text).join('')).toContain('out 9')
  })
})

describe('the log option', () => {
  it("of 'inherit' prints here, to the same stream", async () => {
    const out = vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
    const err = vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
    try {
      await clusters.thread.distribute(() => {
        console.log('to stdout')
        console.error('to stderr')
      })()
      expect(out.mock.calls.map(([text]) => text).join('')).toContain('to stdout\n')
      expect(err.mock.calls.map(([text]) => text).join('')).toContain('to stderr\n')
    } finally {
      out.mockRestore()
      err.mockRestore()
    }
  })

  it("of 'ignore' prints nothing", async () => {
    const out = vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
    try {
      await clusters.thread.distribute(() => console.log('not seen'), { log: 'ignore' })()
      expect(out.mock.calls.map(([text]) => text).join('')).not.toContain('not seen')
    } finally {
      out.mockRestore()
    }
  })

  it('is what a whole program shows', async () => {
    const { stdout, stderr, code } = await run(`
      import { distribute } from 'dicomp'
      await distribute((n) => { console.log('out', n); console.error('err', n) }).map([1])
    `)
    expect({ stdout, stderr, code }).toEqual({ stdout: 'out 1\n', stderr: 'err 1\n', code: 0 })
  })
})

describe('task outside of a task', () => {
  it('has nothing to say, and local() works', () => {
    const f = clusters.thread.distribute((n: number) => {
      task.progress(n)
      return [task.attempt, task.index, task.jobId, task.signal.aborted]
    })
    expect(f.local(1)).toEqual([1, 0, 'local', false])
  })
})
