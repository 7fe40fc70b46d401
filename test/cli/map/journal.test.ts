import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DoneSet } from '../../../src/cli/map/done-set.ts'
import { emptyMark, encodeEntry, foldJournal, type Header } from '../../../src/cli/map/journal-format.ts'
import { JournaledSaver } from '../../../src/cli/map/journaled-saver.ts'
import { readJournal, recover } from '../../../src/cli/map/recover.ts'
import { isAlive, thisWriter } from '../../../src/cli/map/writer.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dicomp-journal-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const header: Header = {
  version: 1,
  task: '/task.ts',
  taskHash: 'abc',
  lines: false,
  unordered: true,
  writer: { host: 'h', pid: 1, started: '' },
}

interface Step {
  index: number
  to: 'out' | 'err'
  text: string | undefined
  pause: boolean
}

const paths = (name = 'out') => ({
  out: join(dir, name),
  err: join(dir, `${name}.err`),
  journal: join(dir, `${name}.dicomp`),
})

/** Runs the steps through a saver and leaves the files as an interrupted run does. */
async function interruptedRun(steps: Step[], p = paths()) {
  let read = 0
  const saver = new JournaledSaver(p, header, emptyMark(), {
    read: () => [read, read],
    failed: (error) => {
      throw error
    },
  })
  for (const step of steps) {
    read = Math.max(read, step.index + 1)
    await saver.add(step.to, step.index, step.text)
    if (step.pause) await new Promise((resolve) => setTimeout(resolve, 25))
  }
  await saver.close(false)
  return { journal: readFileSync(p.journal), out: readFileSync(p.out), err: readFileSync(p.err) }
}

const step = fc.record({
  to: fc.constantFrom('out' as const, 'out' as const, 'err' as const),
  text: fc.option(
    fc.string({ unit: 'grapheme' }).map((s) => `${JSON.stringify(s)}\n`),
    { nil: undefined, freq: 8 },
  ),
  pause: fc.boolean(),
})
/** Steps with shuffled indexes, a result always with a text. */
const steps = fc.array(step, { minLength: 1, maxLength: 12 }).chain((list) =>
  fc
    .shuffledSubarray(
      list.map((_, i) => i),
      { minLength: list.length },
    )
    .map((order) =>
      list.map(
        (s, i): Step => ({
          ...s,
          index: order[i] ?? 0,
          text: s.to === 'out' ? (s.text ?? 'null\n') : s.text,
        }),
      ),
    ),
)

test('killed at any moment: every whole line stays, nothing else does, and done is exactly what is there', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(), fc.nat(), fc.nat(), async (list, cutJournal, cutOut, cutErr) => {
      const p = paths()
      const whole = await interruptedRun(list, p)
      // The journal is written before the lines are: cut it anywhere, then the files no later than it says.
      // What outruns it (a disk that lost the journal's end in a power cut) has to go as well.
      writeFileSync(
        p.journal,
        whole.journal.subarray(0, whole.journal.length - (cutJournal % (whole.journal.length + 1))),
      )
      writeFileSync(p.out, whole.out.subarray(0, whole.out.length - (cutOut % (whole.out.length + 1))))
      writeFileSync(p.err, whole.err.subarray(0, whole.err.length - (cutErr % (whole.err.length + 1))))
      const folded = foldJournal(readFileSync(p.journal, 'utf8'))
      if (!folded) return // cut in its first line, which a rename makes impossible
      const mark = recover(folded, p.out, p.err)
      const done = new DoneSet(mark.done)
      const keep = (to: 'out' | 'err', bytes: number) => {
        let left = bytes
        const kept = []
        for (const s of list) {
          if (s.to !== to || s.text === undefined) continue
          left -= Buffer.byteLength(s.text)
          if (left < 0) break
          kept.push(s)
        }
        expect(
          left <= 0 || kept.length === list.filter((s) => s.to === to && s.text !== undefined).length,
        ).toBe(true)
        return kept
      }
      const kept = [...keep('out', mark.out[0]), ...keep('err', mark.err[0])]
      for (const s of kept) expect(done.has(s.index)).toBe(true)
      const onlyNoted = list.filter((s) => s.text === undefined && done.has(s.index))
      expect(done.size).toBe(kept.length + onlyNoted.length)
      // Going on from there makes the files and the journal agree again.
      const saver = new JournaledSaver(p, header, mark, { read: () => mark.read, failed: () => {} })
      for (const s of list) if (!done.has(s.index)) await saver.add(s.to, s.index, s.text)
      await saver.close(true)
      const linesOf = (bytes: Buffer) => bytes.toString().split('\n').sort()
      expect(linesOf(readFileSync(p.out))).toEqual(linesOf(whole.out))
      expect(linesOf(readFileSync(p.err))).toEqual(linesOf(whole.err))
      expect(readJournal(p.journal)).toBeUndefined()
    }),
    { numRuns: 30 },
  )
})

test('bytes that a power cut left as zeros are not taken for lines', async () => {
  const p = paths()
  await interruptedRun(
    [
      { index: 0, to: 'out', text: '"first"\n', pause: true },
      { index: 1, to: 'out', text: '"second"\n', pause: false },
    ],
    p,
  )
  const bytes = readFileSync(p.out)
  writeFileSync(p.out, Buffer.concat([bytes.subarray(0, 8), Buffer.alloc(9)]))
  const folded = foldJournal(readFileSync(p.journal, 'utf8'))
  expect(folded && recover(folded, p.out, p.err)).toMatchObject({
    done: [[0, 1]],
    out: [8, expect.any(Number)],
  })
})

test('an output that was edited since is refused, not overwritten', async () => {
  const p = paths()
  await interruptedRun([{ index: 0, to: 'out', text: '"first"\n', pause: false }], p)
  const mark = recover(readJournal(p.journal) as NonNullable<ReturnType<typeof readJournal>>, p.out, p.err)
  writeFileSync(p.journal, encodeEntry({ header }) + encodeEntry({ mark }))
  const folded = readJournal(p.journal) as NonNullable<ReturnType<typeof readJournal>>
  writeFileSync(p.out, '"First"\n')
  expect(() => recover(folded, p.out, p.err)).toThrow(/was changed since .* its content is another/)
  writeFileSync(p.out, '"fi')
  expect(() => recover(folded, p.out, p.err)).toThrow(/it is shorter/)
  rmSync(p.out)
  expect(() => recover(folded, p.out, p.err)).toThrow(/it is gone/)
})

test('a journal of something else is refused', () => {
  writeFileSync(join(dir, 'x.dicomp'), 'hello\n')
  expect(() => readJournal(join(dir, 'x.dicomp'))).toThrow(/not a journal of this version/)
})

test('a long run keeps its journal small', async () => {
  const p = paths()
  const saver = new JournaledSaver({ out: p.out, journal: p.journal }, header, emptyMark(), {
    read: () => [0, 0],
    failed: () => {},
  })
  for (let i = 0; i < 400_000; i++) await saver.add('out', i, '1234567890\n')
  await saver.close(false)
  expect(readFileSync(p.journal).length).toBeLessThan(6 * 1024 * 1024)
  const folded = readJournal(p.journal)
  expect(folded && recover(folded, p.out, undefined).done).toEqual([[0, 400_000]])
})

test('a process that still runs is known, a dead one and a reused pid are not taken for it', () => {
  const me = thisWriter()
  expect(isAlive({ ...me, pid: process.ppid, started: thisWriterOf(process.ppid) })).toBe(true)
  expect(isAlive({ ...me, pid: 2 ** 22 + 1 })).toBe(false)
  expect(isAlive({ ...me, host: 'elsewhere', pid: process.ppid })).toBe(false)
  if (process.platform === 'linux') expect(isAlive({ ...me, pid: process.ppid, started: '1' })).toBe(false)
})

function thisWriterOf(pid: number): string {
  if (process.platform !== 'linux') return ''
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}
