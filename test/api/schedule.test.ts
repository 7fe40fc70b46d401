import { connect } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { collect, shared, until } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 3 })
  // Every slot is up before anything is measured.
  const meet = cluster.distribute(async (at: Int32Array) => {
    Atomics.add(at, 0, 1)
    while (Atomics.load(at, 0) < 3) await new Promise((resolve) => setTimeout(resolve, 1))
  })
  await meet.map(Array(3).fill(shared()))
})
afterAll(() => cluster.close())

/** Measures, inside the tasks, how many run at the same time: [0] now, [1] most. */
const measured = async (at: Int32Array): Promise<void> => {
  const now = Atomics.add(at, 0, 1) + 1
  for (let most = Atomics.load(at, 1); now > most; most = Atomics.load(at, 1)) {
    if (Atomics.compareExchange(at, 1, most, now) === most) break
  }
  await new Promise((resolve) => setTimeout(resolve, 4))
  Atomics.sub(at, 0, 1)
}

describe('concurrency', () => {
  it.each([1, 2])('of a map is at most %i', async (concurrency) => {
    const at = shared()
    await cluster.distribute(measured).map(Array(24).fill(at), { concurrency })
    expect(at[1]).toBe(concurrency)
  })

  it('of single calls counts for the handle', async () => {
    const at = shared()
    const f = cluster.distribute(measured, { concurrency: 2 })
    await Promise.all(Array.from({ length: 20 }, () => f(at)))
    expect(at[1]).toBe(2)
  })

  it('of a stream, too', async () => {
    const at = shared()
    await collect(cluster.distribute(measured).stream(Array(20).fill(at), { concurrency: 2, bufferSize: 10 }))
    expect(at[1]).toBe(2)
  })

  it('is that of the slots when nothing is said', async () => {
    const at = shared()
    await cluster.distribute(measured).map(Array(30).fill(at))
    expect(at[1]).toBe(3)
  })

  it('of Infinity is that of the slots', async () => {
    const at = shared()
    await cluster.distribute(measured).map(Array(12).fill(at), { concurrency: Infinity })
    expect(at[1]).toBeLessThanOrEqual(3)
  })
})

describe('priority', () => {
  it('decides what goes first among what waits', async () => {
    await using one = await connect({ slots: 1 })
    const gate = shared(64)
    const wait = one.distribute(async (gate: Int32Array) => {
      Atomics.store(gate, 1, 1)
      while (Atomics.load(gate, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    })
    const blocker = wait(gate)
    await until(() => Atomics.load(gate, 1) === 1)
    const note = one.distribute(({ gate, what }: { gate: Int32Array; what: number }) => {
      Atomics.store(gate, 10 + Atomics.add(gate, 2, 1), what)
    })
    const low = note.with({ priority: -1 }).map(Array(3).fill({ gate, what: 1 }))
    const normal = note.map(Array(3).fill({ gate, what: 2 }))
    const high = note.with({ priority: 5 }).map(Array(3).fill({ gate, what: 3 }))
    Atomics.store(gate, 0, 1)
    await Promise.all([blocker, low, normal, high])
    expect([...gate.subarray(10, 19)]).toEqual([3, 3, 3, 2, 2, 2, 1, 1, 1])
  })
})

describe('jobs of one cluster', () => {
  it('share it: a short one does not wait for the end of a long one', async () => {
    await using one = await connect({ slots: 1 })
    const spin = one.distribute((ms: number) => {
      const end = performance.now() + ms
      while (performance.now() < end);
    })
    const long = spin.submit(Array(300).fill(2))
    const short = spin.submit(Array(5).fill(2))
    await short.done
    expect(long.state).toBe('running')
    long.cancel()
  })
})
