import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { canAnimate, canColour, Reporter, type Snapshot } from '../../src/progress/index.ts'
import { Screen } from './screen.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A job whose clock is the fake one: ten tasks a second. */
function fakeJob(name: string, total: number) {
  const began = Date.now()
  let finish!: () => void
  const job = {
    name,
    state: 'running',
    done: new Promise<void>((resolve) => {
      finish = resolve
    }),
    get progress(): Snapshot {
      const elapsedMs = Date.now() - began
      const done = Math.min(total, Math.floor(elapsedMs / 100))
      return {
        total,
        done,
        failed: 0,
        running: 1,
        slots: 2,
        rate: 10,
        etaMs: (total - done) * 100,
        elapsedMs,
      }
    },
    async end(state = 'done') {
      job.state = state
      finish()
      await vi.advanceTimersByTimeAsync(0)
    },
  }
  return job
}

test('a terminal shows one line per running job and leaves a summary of each', async () => {
  const screen = new Screen()
  const reporter = new Reporter({ stream: screen, others: [], live: true, colour: false })
  const one = fakeJob('one', 100)
  const two = fakeJob('two', 50)
  reporter.add(one)
  reporter.add(two)
  await vi.advanceTimersByTimeAsync(2000)
  expect(screen.text.split('\n')).toEqual([
    expect.stringMatching(/^one .*20% .*20\/100/),
    expect.stringMatching(/^two .*40% .*20\/50/),
  ])
  await two.end()
  expect(screen.text.split('\n')).toEqual([
    expect.stringMatching(/^✔ {2}two {2}20 done in 2.0 s/),
    expect.stringMatching(/^one .*20%/),
  ])
  await one.end('cancelled')
  expect(screen.text).toMatch(/two.*\n✖ {2}one {2}cancelled {2}20 done/)
  expect(vi.getTimerCount()).toBe(0)
})

test('jobs that end soon leave no trace', async () => {
  const screen = new Screen()
  const reporter = new Reporter({ stream: screen, others: [], live: true, colour: false })
  for (let i = 0; i < 20; i++) {
    const job = fakeJob('step', 1)
    reporter.add(job)
    await vi.advanceTimersByTimeAsync(120)
    await job.end()
  }
  expect(screen.text).toBe('')
})

test('a pipe gets a plain line every few seconds and a last one', async () => {
  const written: string[] = []
  const stream = { write: (chunk: string) => written.push(chunk) > 0 }
  const reporter = new Reporter({ stream, others: [] })
  const job = fakeJob('long', 200)
  reporter.add(job)
  await vi.advanceTimersByTimeAsync(12_000)
  await job.end()
  expect(written).toHaveLength(3)
  expect(written[0]).toMatch(/^long .* 50\/200 .*\n$/)
  expect(written[2]).toMatch(/^✔ {2}long {2}120 done in 12 s/)
  expect(written.join('')).not.toContain('\u001b')
})

test('colour and animation follow the terminal and the environment', () => {
  const tty = { isTTY: true, write: () => true }
  const pipe = { write: () => true }
  expect(canColour(tty, {})).toBe(true)
  expect(canColour(tty, { NO_COLOR: '1' })).toBe(false)
  expect(canColour(tty, { TERM: 'dumb' })).toBe(false)
  expect(canColour(pipe, {})).toBe(false)
  expect(canColour(pipe, { FORCE_COLOR: '1' })).toBe(true)
  expect(canAnimate(tty, {})).toBe(true)
  expect(canAnimate(tty, { CI: 'true' })).toBe(false)
  expect(canAnimate(pipe, {})).toBe(false)
})
