/** What tasks print: all of it, once, in order, under the name of the task. */
import { type Cluster, connect, type LogEntry, SlotCrashedError } from 'dicomp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OutputGate, type Piece } from '../../src/slot/output-gate.ts'

for (const isolation of ['thread', 'process'] as const) {
  describe(`${isolation} slots`, () => {
    let cluster: Cluster
    beforeAll(async () => {
      cluster = await connect({ slots: 2, isolation })
    })
    afterAll(() => cluster.close())

    const text = (entries: LogEntry[]): string => entries.map((entry) => entry.text).join('')

    test('console.log and console.error in their order, with stream and index', async () => {
      const entries: LogEntry[] = []
      const talk = cluster.distribute(async (x: number) => {
        console.log('out', x, { nested: [x] })
        console.error('err', x)
        await new Promise((resolve) => setTimeout(resolve, 5))
        process.stdout.write(`later ${x}\n`)
        return x
      })
      await talk.map([1, 2, 3, 4], { log: (entry) => entries.push(entry) })
      for (const index of [0, 1, 2, 3]) {
        const x = index + 1
        const mine = entries.filter((entry) => entry.index === index)
        expect(text(mine)).toBe(`out ${x} { nested: [ ${x} ] }\nerr ${x}\nlater ${x}\n`)
        expect(text(mine.filter(({ stream }) => stream === 'stderr'))).toBe(`err ${x}\n`)
      }
    })

    test('a character that is cut in two', async () => {
      const entries: LogEntry[] = []
      const cut = cluster.distribute(
        () => {
          const bytes = Buffer.from('zwölf\n')
          process.stdout.write(bytes.subarray(0, 3))
          process.stdout.write(bytes.subarray(3))
        },
        { log: (entry) => entries.push(entry) },
      )
      await cut()
      expect(text(entries)).toBe('zwölf\n')
    })

    test.each(['exit', 'abort', 'kill', 'throw'])(
      'output right before the end (%s) arrives, once',
      async (how) => {
        const entries: LogEntry[] = []
        const last = cluster.distribute(
          (end: string) => {
            for (let i = 0; i < 500; i++) console.log(`line ${i}`)
            console.error('goodbye')
            if (end === 'exit') process.exit(1)
            if (end === 'abort') process.abort()
            if (end === 'kill') process.kill(process.pid, 'SIGSEGV')
            setTimeout(() => {
              throw new Error('uncaught')
            })
            return new Promise(() => {})
          },
          { log: (entry) => entries.push(entry), retries: { crashes: 1 } },
        )
        const error = await last(how).catch((thrown) => thrown)
        expect(error).toBeInstanceOf(SlotCrashedError)
        expect(text(entries.filter(({ stream }) => stream === 'stdout'))).toBe(
          Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join(''),
        )
        const stderr = text(entries.filter(({ stream }) => stream === 'stderr'))
        expect(stderr.split('goodbye\n')).toHaveLength(2)
        expect((error as SlotCrashedError).stderrTail).toBe(stderr)
        if (how === 'throw') expect(stderr.split('Error: uncaught')).toHaveLength(2)
      },
    )

    test('what is printed in a hurry by a task that is then killed', async () => {
      const entries: LogEntry[] = []
      const hang = cluster.distribute(
        () => {
          for (let i = 0; i < 50; i++) console.log(`line ${i}`)
          for (;;);
        },
        { log: (entry) => entries.push(entry), timeout: 300 },
      )
      await expect(hang()).rejects.toMatchObject({ code: 'DICOMP_E_TIMEOUT' })
      expect(text(entries)).toBe(Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(''))
    })

    if (isolation === 'process') {
      test('native code and processes that a task starts', async () => {
        const entries: LogEntry[] = []
        const native = cluster.distribute(async (x: number) => {
          const { writeSync } = process.getBuiltinModule('node:fs')
          const { execFileSync } = process.getBuiltinModule('node:child_process')
          writeSync(1, `straight ${x}\n`)
          writeSync(2, `to stderr ${x}\n`)
          execFileSync('echo', ['from echo'], { stdio: 'inherit' })
          await new Promise((resolve) => setTimeout(resolve, 100))
        })
        await native.map([5], { log: (entry) => entries.push(entry) })
        expect(new Set(entries.map(({ index }) => index))).toEqual(new Set([0]))
        expect(text(entries.filter(({ stream }) => stream === 'stdout'))).toBe('straight 5\nfrom echo\n')
        expect(text(entries.filter(({ stream }) => stream === 'stderr'))).toBe('to stderr 5\n')
      })

      test('a flood of native output is bounded too', async () => {
        let size = 0
        let end = ''
        const flood = cluster.distribute(
          () => {
            const { execSync } = process.getBuiltinModule('node:child_process')
            execSync('yes 0123456789 | head -c 55000000; echo the end', { stdio: 'inherit' })
            return new Promise((resolve) => setTimeout(resolve, 300, 'done'))
          },
          {
            log: ({ text }) => {
              size += text.length
              end = (end + text).slice(-9)
            },
          },
        )
        expect(await flood()).toBe('done')
        expect(end).toBe('\nthe end\n')
        expect(size).toBeLessThan(20e6)
      })
    }
  })
}

describe('the gate', () => {
  function gate() {
    const pieces: Piece[] = []
    const clock = { now: 0 }
    return {
      pieces,
      clock,
      gate: new OutputGate(
        (piece) => pieces.push({ ...piece }),
        () => clock.now,
      ),
    }
  }

  test('lets single lines through at once', () => {
    const { gate: quiet, pieces } = gate()
    quiet.write('stdout', 1, 0, 'a\n')
    quiet.write('stderr', 1, 0, 'b\n')
    quiet.write('stdout', 1, 1, 'c\n')
    expect(pieces.map(({ text }) => text)).toEqual(['a\n', 'b\n', 'c\n'])
  })

  test('joins lines of one task when there are many', () => {
    const { gate: busy, pieces } = gate()
    for (let i = 0; i < 1000; i++) busy.write('stdout', 1, 0, `${i}\n`)
    busy.flush()
    expect(pieces.length).toBeLessThan(100)
    expect(pieces.map(({ text }) => text).join('')).toBe(
      Array.from({ length: 1000 }, (_, i) => `${i}\n`).join(''),
    )
  })

  test('counts what it drops, keeps whole lines and the end', () => {
    const { gate: flooded, pieces, clock } = gate()
    for (let i = 0; i < 400_000; i++) {
      flooded.write('stdout', 1, 0, `line ${i}\n`)
      if (i % 1000 === 0) clock.now += 1
    }
    flooded.flush()
    const lines = pieces.flatMap(({ text }) => text.split('\n').filter(Boolean))
    const seen = lines.flatMap((line) => /^line (\d+)$/.exec(line)?.[1] ?? []).map(Number)
    const notes = lines.filter((line) => line.startsWith('[dicomp'))
    expect(seen.length + notes.length).toBe(lines.length)
    const dropped = notes.map((note) => Number(/: (\d+) lines/.exec(note)?.[1]))
    expect(dropped.reduce((sum, each) => sum + each, 0) + seen.length).toBe(400_000)
    expect(seen.at(-1)).toBe(399_999)
    expect(lines.join('\n').length).toBeLessThan(2.2e6)
  })

  test('one write of any size is cut, its end stays', () => {
    const { gate: flooded, pieces } = gate()
    flooded.write('stdout', 1, 0, `${'x'.repeat(20e6)}the end\n`)
    flooded.flush()
    const all = pieces.map(({ text }) => text).join('')
    expect(all.length).toBeLessThan(1.2e6)
    expect(all).toMatch(/^\[dicomp: 0 lines \(\d+ characters\)/)
    expect(all.endsWith('xthe end\n')).toBe(true)
  })
})
