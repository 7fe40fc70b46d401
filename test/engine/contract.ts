/** What every engine has to do, whatever moves its bytes: the tests that all engines share. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/engine/engine.ts'
import { ClosedError, OutOfMemoryError, SlotCrashedError, TaskTimeoutError } from '../../src/errors.ts'
import { Client, type Setup } from './client.ts'
import { removePrograms } from './programs.ts'

export interface EngineUnderTest {
  engine: Engine
  isolation: 'thread' | 'process'
  close(): Promise<void>
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Times in ms are lower bounds of what a task does, never of what the engine may take. */
const NAP = 'await new Promise((resolve) => setTimeout(resolve, 5));'
const FOR_EVER = 'await new Promise(() => setInterval(() => {}, 1000));'

export function engineContract(name: string, make: (slots: number) => Promise<EngineUnderTest>): void {
  describe(`the contract of engines: ${name}`, () => {
    let test: EngineUnderTest
    const client = (setup: Setup): Client => new Client(test.engine, test.isolation, setup)
    beforeEach(async () => {
      test = await make(2)
    })
    afterEach(() => test.close())
    afterAll(removePrograms)

    describe('delivery', () => {
      it('delivers each of many tasks once, with its own result', async () => {
        const c = client({ body: 'return arg * 2', inputs: numbers(5000) }).addAll()
        await c.settled()
        await pause(20)
        expect(c.values()).toEqual(numbers(5000).map((n) => n * 2))
        expect(c.events.every((event) => event.attempt === 1)).toBe(true)
        c.job.forget()
      })

      it('takes tasks one after the other, and while others run', async () => {
        const c = client({ body: `${NAP} return [arg]`, inputs: numbers(40) })
        for (let i = 0; i < 40; i += 4) {
          c.job.add(i, i + 4, 1)
          await pause(i % 3)
        }
        await c.settled()
        expect(c.values()).toEqual(numbers(40).map((n) => [n]))
      })

      it('spreads arguments when asked to', async () => {
        const c = client({
          body: 'return rest.length',
          inputs: [[], [1], [1, [2], 3]],
          spread: true,
        }).addAll()
        expect((await c.settled()).values()).toEqual([0, 1, 3])
      })

      it('tells the execution that it was asked for', async () => {
        const c = client({
          body: 'return [task.attempt, task.index, task.jobId]',
          inputs: numbers(4),
          id: 'mine-7',
        })
        c.job.add(0, 2, 1)
        c.job.add(2, 4, 5)
        await c.settled()
        expect(c.values()).toEqual([
          [1, 0, 'mine-7'],
          [1, 1, 'mine-7'],
          [5, 2, 'mine-7'],
          [5, 3, 'mine-7'],
        ])
        expect(c.events.filter((event) => event.index >= 2).every((event) => event.attempt === 5)).toBe(true)
      })

      it('delivers what was thrown as failed, and the neighbours as they are', async () => {
        const body = 'if (arg % 3 === 0) throw new RangeError("bad " + arg); return arg'
        const c = await client({ body, inputs: numbers(300) })
          .addAll()
          .settled()
        for (const event of c.events) {
          if (event.index % 3) expect(event).toEqual({ index: event.index, attempt: 1, value: event.index })
          else {
            const { failed } = event as { failed: Error }
            expect(failed).toBeInstanceOf(RangeError)
            expect(failed.message).toBe(`bad ${event.index}`)
          }
        }
        expect(new Set(c.events.map((event) => event.index)).size).toBe(300)
      })

      it('takes a failed task again, for its next attempt, also from inside the delivery', async () => {
        const c = client({
          body: 'if (task.attempt < 3) throw new Error("again"); return task.attempt',
          inputs: numbers(20),
          onEvent: (event, job) => {
            if ('failed' in event) job.add(event.index, event.index + 1, event.attempt + 1)
          },
        }).addAll()
        await c.settled(60)
        await pause(20)
        expect(c.events).toHaveLength(60)
        for (const attempt of [1, 2, 3]) {
          const indexes = c.events.filter((event) => event.attempt === attempt).map((event) => event.index)
          expect(indexes.sort((a, b) => a - b)).toEqual(numbers(20))
        }
      })

      it('does not run what is to be skipped, and delivers something for it', async () => {
        const c = client({
          body: 'task.progress(arg); return arg',
          inputs: numbers(10),
          skip: [0, 4, 9],
        }).addAll()
        await c.settled()
        await c.when(() => c.progress.length >= 7)
        expect(c.progress.map(({ value }) => value).sort()).toEqual([1, 2, 3, 5, 6, 7, 8])
        expect(c.values()).toEqual([undefined, 1, 2, 3, undefined, 5, 6, 7, 8, undefined])
      })

      it('delivers a result that cannot travel as failed', async () => {
        const c = client({ body: 'return arg === 1 ? () => 1 : arg', inputs: numbers(3) }).addAll()
        await c.settled()
        const failed = c.events.filter((event) => 'failed' in event)
        expect(failed).toMatchObject([{ index: 1, failed: { code: 'DICOMP_E_ENCODE', path: 'result' } }])
      })

      it('asks for no more tasks at once than the cap', async () => {
        const c = client({ body: 'return 1', inputs: numbers(500), cap: 10 }).addAll()
        await c.settled()
        expect(Math.max(...c.asked.map(({ count }) => count))).toBeLessThanOrEqual(10)
        const solo = client({ body: 'return 1', inputs: numbers(20), solo: true }).addAll()
        await solo.settled()
        expect(solo.asked.every(({ count }) => count === 1)).toBe(true)
      })

      it('fails every task of code that cannot be loaded', async () => {
        const c = client({ body: 'return 1 +', inputs: numbers(3) }).addAll()
        await c.settled()
        expect(c.events).toHaveLength(3)
        for (const event of c.events) expect(event).toMatchObject({ failed: { code: 'DICOMP_E_LOAD' } })
      })
    })

    describe('cancel, drop and forget', () => {
      it('after cancel nothing is delivered, and what runs is told', async () => {
        const body =
          "if (arg > 1) return arg; const { signal } = task; task.progress('began'); await new Promise((resolve) => signal.addEventListener('abort', resolve)); return 'late'"
        const c = client({ body, inputs: numbers(50), solo: true }).addAll()
        await c.when(() => c.progress.length === 2)
        c.job.cancel()
        const before = c.events.length
        await pause(50)
        expect(c.events.length).toBe(before)
        const next = client({ body: 'return arg', inputs: numbers(4) }).addAll()
        expect((await next.settled()).values()).toEqual([0, 1, 2, 3])
      })

      it('ends a task that does not listen, and the slot works for others', async () => {
        const c = client({ body: 'task.progress(1); for (;;);', inputs: numbers(2), solo: true }).addAll()
        await c.when(() => c.progress.length === 2)
        c.job.cancel()
        const next = client({ body: 'return arg', inputs: numbers(10) }).addAll()
        expect((await next.settled()).values()).toEqual(numbers(10))
        expect(c.events).toEqual([])
      })

      it('drops single tasks: those that wait, and one that runs', async () => {
        const body = "if (arg === 0) { task.progress('began'); for (;;); } return arg"
        const c = client({ body, inputs: numbers(6), solo: true, concurrency: 1 }).addAll()
        await c.when(() => c.progress.length === 1)
        c.job.drop(3, 5)
        c.job.drop(0, 1)
        await c.settled(3)
        await pause(20)
        expect(c.events.map((event) => event.index).sort()).toEqual([1, 2, 5])
      })

      it('ends quietly when all is settled', async () => {
        const c = await client({ body: 'return arg', inputs: numbers(3) })
          .addAll()
          .settled()
        c.job.forget()
        c.job.forget()
        expect(c.job.snapshot()).toEqual({ queued: 0, running: 0, slots: 0 })
      })
    })

    describe('scheduling', () => {
      it('runs as many tasks at the same time as there are slots, and no more than asked for', async () => {
        const most = async (setup: Partial<Setup>): Promise<number> => {
          const c = client({
            body: `task.progress(1); ${NAP} return arg`,
            inputs: numbers(16),
            solo: true,
            ...setup,
          })
          let peak = 0
          const look = setInterval(() => (peak = Math.max(peak, c.job.snapshot().running)), 1)
          await c.addAll().settled()
          clearInterval(look)
          return peak
        }
        expect(await most({})).toBeLessThanOrEqual(2)
        expect(await most({ concurrency: 1 })).toBe(1)
      })

      it('counts what waits and what runs', async () => {
        const c = client({ body: `task.progress(1); ${FOR_EVER}`, inputs: numbers(5), solo: true }).addAll()
        await c.when(() => c.progress.length === 2)
        expect(c.job.snapshot()).toEqual({ queued: 3, running: 2, slots: 2 })
        c.job.cancel()
      })

      it('lets the higher priority go first', async () => {
        await test.close()
        test = await make(1)
        const order: string[] = []
        // Long enough for the others to arrive, wherever the slot is.
        const body = 'task.progress(1); await new Promise((resolve) => setTimeout(resolve, 300)); return arg'
        const gate = client({ body, inputs: [0], solo: true }).addAll()
        await gate.when(() => gate.progress.length === 1)
        const jobs = [-1, 0, 7].map((priority) =>
          client({
            body: 'return arg',
            inputs: numbers(3),
            solo: true,
            priority,
            onEvent: () => void order.push(String(priority)),
          }).addAll(),
        )
        await Promise.all(jobs.map((job) => job.settled()))
        expect(order).toEqual(['7', '7', '7', '0', '0', '0', '-1', '-1', '-1'])
      })
    })

    describe('timeouts', () => {
      it('lose a task that takes too long, with its attempt, and no other', async () => {
        const body = `if (arg === 2) { ${FOR_EVER} } return arg`
        const c = client({ body, inputs: numbers(5), solo: true, timeout: 150 })
        c.job.add(0, 5, 4)
        await c.settled()
        await pause(20)
        expect(c.events).toHaveLength(5)
        const [lost] = c.lostTasks()
        expect(lost).toMatchObject({ index: 2, attempt: 4, lost: { timeout: 150 } })
        expect(lost?.lost).toBeInstanceOf(TaskTimeoutError)
      })

      it('count from the start of a task, not from when it was added', async () => {
        await test.close()
        test = await make(1)
        const body = 'await new Promise((resolve) => setTimeout(resolve, 60)); return arg'
        const c = client({ body, inputs: numbers(8), solo: true, timeout: 400 }).addAll()
        expect((await c.settled()).values()).toEqual(numbers(8))
      })
    })

    describe('crashes', () => {
      it('lose the guilty task after as many slots as it may kill, and no neighbour', async () => {
        const body = 'if (arg === 7) process.exit(3); return arg'
        const c = await client({ body, inputs: numbers(30), crashes: 2 })
          .addAll()
          .settled()
        await pause(20)
        expect(c.events).toHaveLength(30)
        const [lost] = c.lostTasks()
        expect(lost?.index).toBe(7)
        expect(lost?.lost).toBeInstanceOf(SlotCrashedError)
        expect(lost?.lost).toMatchObject({ exitCode: 3 })
        const others = c.events.filter((event) => 'value' in event).map((event) => event.index)
        expect(others.sort((a, b) => a - b)).toEqual(numbers(30).filter((n) => n !== 7))
      })

      it('tell a later execution which attempt it is', async () => {
        const body = 'if (task.attempt < 3) process.exit(1); return task.attempt'
        const c = await client({ body, inputs: [0] })
          .addAll()
          .settled()
        expect(c.events).toEqual([{ index: 0, attempt: 3, value: 3 }])
      })

      it('for lack of memory lose the task with that cause', async () => {
        const body = 'const all = []; for (;;) all.push(new Array(1e5).fill({}))'
        const c = client({ body, inputs: [0], crashes: 1, memory: 64 << 20 }).addAll()
        await c.settled()
        expect(c.lostTasks()[0]?.lost).toBeInstanceOf(OutOfMemoryError)
      })
    })

    describe('output and progress', () => {
      it('come with the index of their task, in order', async () => {
        const body = `console.log('out', arg); ${NAP} console.error('err', arg); task.progress({ arg }); task.progress(arg)`
        const c = await client({ body, inputs: numbers(6) })
          .addAll()
          .settled()
        for (const index of numbers(6)) {
          const text = (stream: string): string =>
            c.logs
              .filter((entry) => entry.index === index && entry.stream === stream)
              .map((entry) => entry.text)
              .join('')
          expect(text('stdout')).toBe(`out ${index}\n`)
          expect(text('stderr')).toBe(`err ${index}\n`)
          const sent = c.progress.filter((entry) => entry.index === index).map(({ value }) => value)
          expect(sent).toEqual([{ arg: index }, index])
        }
      })

      it('come before the result of their task', async () => {
        const seen: string[] = []
        const c = client({
          body: "console.log('said'); task.progress('sent'); return 1",
          inputs: [0],
          onEvent: () => seen.push(`${c.logs.length} ${c.progress.length}`),
        })
        await c.addAll().settled()
        expect(seen).toEqual(['1 1'])
      })
    })

    describe('nested work', () => {
      const INNER = 'const inner = distribute((n) => n + 1);'

      it('is run while the task waits, whatever the number of slots', async () => {
        await test.close()
        test = await make(1)
        const body = `${INNER} return [await inner(arg), await inner.map([arg, arg])]`
        const c = await client({ body, inputs: numbers(5) })
          .addAll()
          .settled()
        expect(c.values()).toEqual(numbers(5).map((n) => [n + 1, [n + 1, n + 1]]))
      })

      it('ends with the job of the task that asked for it', async () => {
        const body = "task.progress('began'); await distribute(() => new Promise(() => {}))(); return 1"
        const c = client({ body, inputs: [0], solo: true }).addAll()
        await c.when(() => c.progress.length === 1)
        c.job.cancel()
        const next = client({ body: 'return arg', inputs: numbers(4) }).addAll()
        expect((await next.settled()).values()).toEqual(numbers(4))
        expect(c.events).toEqual([])
      })
    })

    describe('close', () => {
      it('loses what is left with ClosedError, once, and takes no more', async () => {
        const c = client({ body: `task.progress(1); ${FOR_EVER}`, inputs: numbers(5), solo: true }).addAll()
        await c.when(() => c.progress.length === 2)
        await Promise.all([test.engine.close(), test.engine.close()])
        expect(c.closed).toBeInstanceOf(ClosedError)
        expect(c.events).toEqual([])
        c.job.add(0, 1, 1)
        expect(c.events).toMatchObject([{ index: 0, lost: { code: 'DICOMP_E_CLOSED' } }])
        expect(() => client({ body: 'return 1', inputs: [0] })).toThrow(ClosedError)
      })

      it('of an engine that did nothing is quick', async () => {
        await test.engine.close()
      })
    })
  })
}
