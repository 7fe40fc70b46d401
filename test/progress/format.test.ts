import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  displayWidth,
  formatBytes,
  formatCount,
  formatDuration,
  formatProgress,
  formatRate,
  formatSummary,
  plain,
  type Snapshot,
  truncate,
} from '../../src/progress/index.ts'

const halfway: Snapshot = {
  total: 10_000,
  done: 4_800,
  failed: 12,
  running: 2,
  slots: 2,
  rate: 1204,
  etaMs: 4_320,
  elapsedMs: 4_000,
}

test('a line says how far, how fast, how long still, how many slots and failures', () => {
  expect(formatProgress(halfway, { name: 'render', columns: 100 })).toBe(
    'render  █████████▌░░░░░░░░░░  48%  4,812/10,000  1,204/s  ETA 4.3 s  2/2 slots  12 failed',
  )
})

test('an unknown total shows what is done', () => {
  const line = formatProgress({ ...halfway, total: undefined, etaMs: undefined, failed: 0 }, { columns: 100 })
  expect(line).toBe('4,800 done  1,204/s  2/2 slots')
})

test('an estimated total is marked', () => {
  expect(formatProgress({ ...halfway, approximate: true }, { columns: 100 })).toContain('4,812/~10,000')
})

test('an empty job and a job without a first result print no nonsense', () => {
  const start = {
    total: 0,
    done: 0,
    failed: 0,
    running: 0,
    slots: 2,
    rate: 0,
    etaMs: undefined,
    elapsedMs: 0,
  }
  expect(formatProgress(start)).toBe('0 done  0/2 slots')
  expect(formatProgress({ ...start, total: 5, etaMs: Number.POSITIVE_INFINITY })).toBe(
    '░░░░░░░░░░░░░░░░░░░░  0%  0/5  0/2 slots',
  )
})

test('a narrower terminal has a shorter bar first', () => {
  expect(formatProgress(halfway, { name: 'render', columns: 80 })).toBe(
    'render  ████▊░░░░░  48%  4,812/10,000  1,204/s  ETA 4.3 s  2/2 slots  12 failed',
  )
})

test('a narrow terminal keeps the percentage and the failures longest', () => {
  expect(formatProgress(halfway, { name: 'render', columns: 40 })).toBe('render  48%  ETA 4.3 s  12 failed')
  expect(formatProgress(halfway, { name: 'render', columns: 12 })).toBe('48%')
})

test('colour is only there when it is asked for', () => {
  expect(formatProgress(halfway)).not.toContain('\u001b')
  expect(formatProgress(halfway, { colour: true })).toContain('\u001b[31m12 failed\u001b[39m')
})

test('no line is ever wider than the terminal', () => {
  const count = fc.nat({ max: 2 ** 31 })
  const snapshot = fc.record({
    total: fc.option(count, { nil: undefined }),
    done: count,
    failed: count,
    running: count,
    slots: fc.nat({ max: 512 }),
    rate: fc.double({ min: 0, max: 1e9 }),
    etaMs: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true }), { nil: undefined }),
    elapsedMs: count,
  })
  fc.assert(
    fc.property(
      snapshot,
      fc.string({ unit: 'grapheme' }),
      fc.integer({ min: 1, max: 200 }),
      (s, name, columns) => {
        expect(displayWidth(formatProgress(s, { name, columns }))).toBeLessThanOrEqual(columns)
        expect(displayWidth(formatSummary(s, 'done', { name, columns }))).toBeLessThanOrEqual(columns)
        expect(formatProgress(s, { name, columns })).not.toMatch(/[\n\r]/)
      },
    ),
  )
})

test('the summary names the outcome', () => {
  expect(formatSummary(halfway, 'done', { name: 'render' })).toBe(
    '✖  render  4,812 done in 4.0 s  1,203/s  12 failed',
  )
  expect(formatSummary({ ...halfway, failed: 0 }, 'done')).toBe('✔  4,800 done in 4.0 s  1,200/s')
  expect(formatSummary({ ...halfway, failed: 0 }, 'cancelled')).toContain('✖  cancelled')
})

test('units', () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567'])
  expect([0, 0.25, 8.34, 150, 1_250_000, Number.NaN].map(formatRate)).toEqual([
    '0/s',
    '4.0 s each',
    '8.3/s',
    '150/s',
    '1.25M/s',
    '0/s',
  ])
  expect([0, 999.7, 3_210, 9_960, 59_700, 192_000, 7_500_000, 273_600_000].map(formatDuration)).toEqual([
    '0 ms',
    '1.0 s',
    '3.2 s',
    '10 s',
    '1m00s',
    '3m12s',
    '2h05m',
    '3d04h',
  ])
  expect([0, 1023, 1536, 5 * 2 ** 30].map(formatBytes)).toEqual(['0 B', '1023 B', '1.5 KiB', '5.0 GiB'])
})

test('names cannot move the cursor', () => {
  expect(plain('a\u001b[2Jb\nc\u001b]0;title\u0007d')).toBe('ab cd')
})

test('wide and combining characters are counted as a terminal does', () => {
  expect(displayWidth('日本')).toBe(4)
  expect(displayWidth('e\u0301')).toBe(1)
  expect(truncate('日本語', 5)).toBe('日本…')
})
