/**
 * Every way in which a task can go wrong, on both kinds of slots: the exact error, right results for all neighbours,
 * a cluster that works afterwards, and nothing left when it is closed.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  CancelledError,
  type Cluster,
  connect,
  DecodeError,
  EncodeError,
  type LogEntry,
  OutOfMemoryError,
  SlotCrashedError,
  type TaskOptions,
  TaskTimeoutError,
} from 'dicomp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { children, eventually, type Holdings, holdings, processesWith } from './leftovers.ts'

type Isolation = 'thread' | 'process'

/** The task that goes wrong, among healthy ones: inputs 0 to 39, 17 is the bad one. */
const BAD = 17
const inputs = Array.from({ length: 40 }, (_, i) => i)

interface Case {
  name: string
  /** Only on this kind of slot. */
  only?: Isolation
  task: (input: number) => unknown
  options?: TaskOptions
  /** Checks the error of the bad task. */
  // biome-ignore lint/suspicious/noExplicitAny: of many classes
  error(error: any, isolation: Isolation): void | Promise<void>
}

const crash = (exit: { exitCode?: number; signal?: string; stderr?: RegExp; cause?: unknown }) => {
  return (error: SlotCrashedError) => {
    expect(error).toBeInstanceOf(SlotCrashedError)
    expect(error.code).toBe('DICOMP_E_SLOT_CRASHED')
    expect({ exitCode: error.exitCode, signal: error.signal }).toEqual({
      exitCode: exit.exitCode,
      signal: exit.signal,
    })
    expect(error.message).toContain('Task 17 of')
    if (exit.stderr) expect(error.stderrTail).toMatch(exit.stderr)
    if (exit.cause !== undefined) expect(error.cause).toMatchObject(exit.cause as object)
  }
}
const once: TaskOptions = { retries: { crashes: 1 } }
const timedOut = (error: TaskTimeoutError): void => {
  expect(error).toBeInstanceOf(TaskTimeoutError)
  expect(error.code).toBe('DICOMP_E_TIMEOUT')
  expect(error.message).toContain('Task 17 of')
}
const outOfMemory = (error: OutOfMemoryError): void => {
  expect(error).toBeInstanceOf(OutOfMemoryError)
  expect(error.code).toBe('DICOMP_E_OUT_OF_MEMORY')
  expect(error.limit).toBe(64e6)
}

const cases: Case[] = [
  {
    name: 'throws',
    task: (x) => {
      if (x === 17) throw Object.assign(new TypeError('bad seventeen'), { code: 'E_MINE', detail: { x } })
      return x * 2
    },
    error: (error) => {
      expect(error).toBeInstanceOf(TypeError)
      expect(error).toMatchObject({ message: 'bad seventeen', code: 'E_MINE', detail: { x: 17 } })
    },
  },
  {
    name: 'rejects, with a cause',
    task: async (x) => {
      await null
      if (x === 17) throw new Error('outer', { cause: new RangeError('inner') })
      return x * 2
    },
    error: (error) => {
      expect(error).toMatchObject({ message: 'outer' })
      expect(error.cause).toBeInstanceOf(RangeError)
    },
  },
  {
    name: 'throws what is no error',
    task: (x) => {
      if (x === 17) throw { plain: ['object', x] }
      return x * 2
    },
    error: (error) => expect(error).toEqual({ plain: ['object', 17] }),
  },
  {
    name: 'throws undefined',
    task: (x) => {
      if (x === 17) throw undefined
      return x * 2
    },
    error: (error) => expect(error).toBeUndefined(),
  },
  {
    name: 'throws an error that holds what cannot travel',
    task: (x) => {
      if (x === 17) throw Object.assign(new Error('request failed'), { request: () => 1, status: 503 })
      return x * 2
    },
    error: (error) => expect(error).toMatchObject({ message: 'request failed', status: 503 }),
  },
  {
    name: 'overflows the stack',
    task: (x) => {
      const down = (n: number): number => down(n + 1) + 1
      return x === 17 ? down(0) : x * 2
    },
    error: (error) => {
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toBe('Maximum call stack size exceeded')
    },
  },
  {
    name: 'throws in a timer',
    options: once,
    task: (x) => {
      if (x !== 17) return x * 2
      setTimeout(() => {
        throw Object.assign(new TypeError('from a timer'), { code: 'E_TIMER' })
      }, 1)
      return new Promise(() => {})
    },
    error: crash({
      exitCode: 1,
      stderr: /TypeError.*from a timer/,
      cause: { message: 'from a timer', code: 'E_TIMER' },
    }),
  },
  {
    name: 'leaves a rejection unhandled',
    options: once,
    task: (x) => {
      if (x !== 17) return x * 2
      Promise.reject(new Error('nobody listens'))
      return new Promise(() => {})
    },
    error: crash({ exitCode: 1, stderr: /nobody listens/, cause: { message: 'nobody listens' } }),
  },
  {
    name: 'process.exit(3), every time',
    task: (x) => {
      if (x !== 17) return x * 2
      console.error('last words')
      process.exit(3)
    },
    error: (error) => {
      crash({ exitCode: 3, stderr: /^last words\n$/ })(error)
      expect(error.message).toContain('killed 3 slots')
    },
  },
  {
    name: 'process.abort()',
    options: once,
    task: (x) => (x === 17 ? process.abort() : x * 2),
    error: crash({ signal: 'SIGABRT' }),
  },
  {
    name: "process.kill(process.pid, 'SIGSEGV')",
    options: once,
    task: (x) => (x === 17 ? process.kill(process.pid, 'SIGSEGV') && new Promise(() => {}) : x * 2),
    error: crash({ signal: 'SIGSEGV' }),
  },
  {
    // In a thread it ends the whole program, by the nature of threads: see docs/isolation.md.
    name: 'crashes in native code (its machine code is overwritten)',
    only: 'process',
    options: once,
    task: (x) => {
      if (x !== 17) return x * 2
      const { openSync, readFileSync, writeSync } = process.getBuiltinModule('node:fs')
      const lines = readFileSync('/proc/self/maps', 'utf8').split('\n')
      const line = lines.find((each) => each.includes('r-xp') && each.includes(process.execPath)) as string
      const [from, to] = (line.split(' ')[0] as string).split('-').map((each) => Number.parseInt(each, 16))
      const memory = openSync('/proc/self/mem', 'r+')
      const zeros = Buffer.alloc(1 << 20)
      for (let at = from as number; at < (to as number); at += zeros.length) {
        writeSync(memory, zeros, 0, Math.min(zeros.length, (to as number) - at), at)
      }
      return 'unharmed'
    },
    error: crash({ signal: 'SIGSEGV' }),
  },
  {
    name: 'fails an assertion of the runtime',
    only: 'process',
    options: once,
    task: (x) => {
      if (x !== 17) return x * 2
      const { Pipe } = (process as unknown as { binding(name: string): { Pipe: new () => unknown } }).binding(
        'pipe_wrap',
      )
      return new Pipe()
    },
    error: crash({ signal: 'SIGABRT', stderr: /Assertion failed: args\[0\]->IsInt32/ }),
  },
  {
    name: "writes into the slot's own connection",
    only: 'process',
    options: once,
    task: (x) => {
      if (x === 17) process.getBuiltinModule('node:fs').writeSync(3, 'this is no message')
      return x * 2
    },
    error: (error) => {
      crash({ signal: 'SIGKILL' })(error)
      expect(error.cause).toBeInstanceOf(DecodeError)
    },
  },
  {
    name: 'fills the heap with objects',
    options: { memory: '64MB' },
    task: (x) => {
      if (x !== 17) return x * 2
      const all: unknown[] = []
      for (;;) all.push({ x, y: [x] })
    },
    error: outOfMemory,
  },
  {
    name: 'fills the heap with strings',
    options: { memory: '64MB' },
    task: (x) => {
      if (x !== 17) return x * 2
      const all: string[] = []
      for (let i = 0; ; i++) all.push(`${i}`.padStart(10_000, 'é'))
    },
    error: outOfMemory,
  },
  {
    // Node.js 20 does not limit what a thread holds outside of its heap; see docs/isolation.md.
    name: 'fills memory with buffers, slowly',
    only: 'process',
    options: { memory: '64MB' },
    task: async (x) => {
      if (x !== 17) return x * 2
      const all: Buffer[] = []
      for (;;) {
        all.push(Buffer.alloc(4 << 20, 1))
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    },
    error: outOfMemory,
  },
  {
    name: 'asks for one huge buffer',
    only: 'process',
    options: { memory: '64MB' },
    task: (x) => (x === 17 ? Buffer.alloc(2e9).length : x * 2),
    error: (error) => {
      outOfMemory(error)
      expect(error.cause).toBeInstanceOf(RangeError)
    },
  },
  {
    name: 'loops for ever, with a timeout',
    options: { timeout: 300 },
    task: (x) => {
      for (; x === 17; );
      return x * 2
    },
    error: timedOut,
  },
  {
    name: 'waits for ever in Atomics.wait, with a timeout',
    options: { timeout: 300 },
    task: (x) => {
      if (x === 17) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
      return x * 2
    },
    error: timedOut,
  },
  {
    name: 'never resolves, with a timeout',
    options: { timeout: 300 },
    task: (x) => (x === 17 ? new Promise(() => {}) : x * 2),
    error: timedOut,
  },
  {
    name: 'blocks in execSync, with a timeout',
    only: 'process',
    options: { timeout: 300 },
    task: (x) => {
      if (x === 17) process.getBuiltinModule('node:child_process').execSync('sleep 61.5')
      return x * 2
    },
    error: (error) => {
      timedOut(error)
      return eventually(() => expect(processesWith('61.5')).toEqual([]))
    },
  },
  {
    name: 'blocks in pbkdf2Sync, with a timeout',
    only: 'process',
    options: { timeout: 300 },
    task: (x) => {
      if (x === 17) process.getBuiltinModule('node:crypto').pbkdf2Sync('a', 'b', 2 ** 31 - 1, 8, 'sha512')
      return x * 2
    },
    error: timedOut,
  },
  {
    name: 'returns what cannot travel',
    task: (x) => (x === 17 ? { list: [1, () => x] } : x * 2),
    error: (error) => {
      expect(error).toBeInstanceOf(EncodeError)
      expect(error.path).toBe('result.list[1]')
    },
  },
]

for (const isolation of ['thread', 'process'] as const) {
  describe(`${isolation} slots`, () => {
    let cluster: Cluster
    let before: Holdings
    let directory: string

    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'dicomp-faults-'))
      // What a first cluster leaves for ever (pools of threads, caches) is not a leak.
      await using first = await connect({ slots: 2, isolation })
      await first.distribute((x: number) => x)(1)
      await first.close()
      await new Promise((resolve) => setTimeout(resolve, 50))
      before = holdings()
      cluster = await connect({ slots: 2, isolation })
    })
    afterAll(() => rmSync(directory, { recursive: true }))

    /** The cluster is as good as new. */
    async function healthy(): Promise<void> {
      const double = cluster.distribute((x: number) => x * 2)
      expect(await double.map(inputs)).toEqual(inputs.map((x) => x * 2))
      // Two tasks that end only when both run: all slots are there.
      const mine = mkdtempSync(join(directory, 'meet-'))
      const meet = cluster.distribute(async (me: number, where: string) => {
        const { readdirSync, writeFileSync } = process.getBuiltinModule('node:fs')
        writeFileSync(`${where}/${me}`, '')
        while (readdirSync(where).length < 2) await new Promise((resolve) => setTimeout(resolve, 2))
        return me
      })
      expect(await Promise.all([meet(0, mine), meet(1, mine)])).toEqual([0, 1])
      // Two that work, one spare; each has ended or is one of these.
      if (isolation === 'process') {
        await eventually(() => expect(slotProcesses().length).toBeLessThanOrEqual(3))
      }
    }

    /** Runs the case among its neighbours and beside another job; returns the error of the bad task. */
    async function run(task: (input: number) => unknown, options: TaskOptions = {}): Promise<unknown> {
      const others = cluster.distribute((x: number) => x + 1)
      const [outcomes, other] = await Promise.all([
        cluster.distribute(task).settled(inputs, { log: 'ignore', ...options }),
        others.map(inputs),
      ])
      expect(other).toEqual(inputs.map((x) => x + 1))
      const good = outcomes
        .filter(({ status }) => status === 'fulfilled')
        .map((each) => 'value' in each && each.value)
      expect(good).toEqual(inputs.filter((x) => x !== BAD).map((x) => x * 2))
      const bad = outcomes[BAD]
      expect(bad?.status).toBe('rejected')
      return bad?.status === 'rejected' ? bad.reason : undefined
    }

    for (const { name, only, task, options, error } of cases) {
      if (only !== undefined && only !== isolation) continue
      test(name, async () => {
        await error(await run(task, options), isolation)
        await healthy()
      })
    }

    test('loops for ever, cancelled', async () => {
      const abort = new AbortController()
      const loop = cluster.distribute((x: number) => {
        if (x === 17) console.log('begun')
        for (; x === 17; );
        return x * 2
      })
      const log = ({ index }: LogEntry): void => {
        if (index === BAD) abort.abort(new Error('enough'))
      }
      const error = await loop.map(inputs, { signal: abort.signal, log }).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(CancelledError)
      expect(error.cause).toMatchObject({ message: 'enough' })
      await healthy()
    })

    test('blocks in a native call that nothing ends', async () => {
      const fifo = join(directory, 'fifo')
      execFileSync('mkfifo', [fifo])
      const read = cluster.distribute(
        (path: string) => process.getBuiltinModule('node:fs').readFileSync(path, 'utf8'),
        {
          timeout: 200,
        },
      )
      const warnings: (Error & { code?: string })[] = []
      const warned = (warning: Error): unknown => warnings.push(warning)
      process.on('warning', warned)
      await expect(read(fifo)).rejects.toBeInstanceOf(TaskTimeoutError)
      await healthy()
      if (isolation === 'thread') {
        await eventually(() => expect(warnings.map(({ code }) => code)).toEqual(['DICOMP_W_STUCK_THREAD']))
        // It is still there, until the call returns.
        const write = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK)
        writeSync(write, 'at last')
        closeSync(write)
      }
      process.off('warning', warned)
      await healthy()
    })

    test('floods stdout', async () => {
      const lines: string[] = []
      let bytes = 0
      const flood = cluster.distribute((x: number) => {
        if (x === 17) for (let i = 0; i < 1e6; i++) process.stdout.write(`line ${i} of a flood\n`)
        else console.log(`quiet ${x}`)
        return x * 2
      })
      const quiet: string[] = []
      const log = ({ index, text }: LogEntry): void => {
        bytes += text.length
        if (index === BAD) lines.push(...text.split('\n').filter((line) => line !== ''))
        else quiet.push(text)
      }
      expect(await flood.map(inputs, { log })).toEqual(inputs.map((x) => x * 2))
      expect(quiet.join('').split('\n').filter(Boolean).sort()).toEqual(
        inputs
          .filter((x) => x !== BAD)
          .map((x) => `quiet ${x}`)
          .sort(),
      )
      const numbers = lines.flatMap((line) => /^line (\d+) of a flood$/.exec(line)?.[1] ?? []).map(Number)
      const dropped = lines.flatMap((line) => /^\[dicomp: (\d+) lines/.exec(line)?.[1] ?? []).map(Number)
      // In order, the first and the last are there, and every line is printed or counted.
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
      expect(numbers.slice(0, 1000)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
      expect(numbers.slice(-500)).toEqual(Array.from({ length: 500 }, (_, i) => 1e6 - 500 + i))
      expect(numbers.length + dropped.reduce((sum, each) => sum + each, 0)).toBe(1e6)
      expect(dropped.length).toBeGreaterThan(0)
      // It printed 21 MB.
      expect(bytes).toBeLessThan(12e6)
      await healthy()
    })

    test('returns a huge result', async () => {
      const make = cluster.distribute((x: number) => (x === 17 ? new Float64Array(8 << 20).fill(x) : x))
      const results = await make.map(inputs)
      const huge = results[BAD] as Float64Array
      expect(huge.length).toBe(8 << 20)
      expect(huge.every((each) => each === 17)).toBe(true)
      expect(results.filter((_, i) => i !== BAD)).toEqual(inputs.filter((x) => x !== BAD))
    })

    test('nothing is left after close()', async () => {
      await cluster.close()
      if (isolation === 'process') expect(children()).toEqual([])
      await eventually(() => expect(holdings()).toEqual(before))
      await expect(cluster.distribute((x: number) => x)(1)).rejects.toMatchObject({ code: 'DICOMP_E_CLOSED' })
    })
  })
}

const slotProcesses = (): unknown[] => children().filter(({ command }) => command.includes('runner.js'))

// What docs/isolation.md says of threads: no boundary. Should this ever fail, the documentation is wrong.
test('a native crash in a thread ends the program', () => {
  const file = fileURLToPath(new URL('fixtures/thread-crash.mjs', import.meta.url))
  const { signal, stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(['SIGSEGV', 'SIGILL', 'SIGBUS', 'SIGTRAP']).toContain(signal)
})
