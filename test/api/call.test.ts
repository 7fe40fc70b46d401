import { connect, distribute, EncodeError } from 'dicomp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rejection } from './helpers.ts'

let cluster: Awaited<ReturnType<typeof connect>>
beforeAll(async () => {
  cluster = await connect({ slots: 2 })
})
afterAll(() => cluster.close())

describe('a single call', () => {
  it('returns what the function returns', async () => {
    expect(await distribute((n: number) => n * n)(7)).toBe(49)
    expect(await cluster.distribute((n: number) => n * n)(8)).toBe(64)
  })

  it('awaits what the function promises', async () => {
    const later = cluster.distribute(async (text: string) => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      return text.toUpperCase()
    })
    expect(await later('abc')).toBe('ABC')
  })

  it('takes any number of arguments', async () => {
    expect(await cluster.distribute(() => 'none')()).toBe('none')
    expect(
      await cluster.distribute((a: number, b: string, c: boolean[]) => [c, b, a])(1, 'x', [true]),
    ).toEqual([[true], 'x', 1])
    expect(await cluster.distribute((...rest: number[]) => rest.length)(1, 2, 3)).toBe(3)
    expect(await cluster.distribute((a?: number, b = 5) => [a, b])(undefined)).toEqual([undefined, 5])
  })

  it('tells calls of one tick apart, whatever their arguments are', async () => {
    const echo = cluster.distribute((value: unknown) => [value])
    const values = Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? i : i % 3 === 1 ? `t${i}` : { i }))
    expect(await Promise.all(values.map((value) => echo(value)))).toEqual(values.map((value) => [value]))
  })

  it('sends the arguments as they are at the call', async () => {
    const sum = cluster.distribute((box: { n: number[] }) => box.n.reduce((a, b) => a + b, 0))
    const box = { n: [1, 2, 3] }
    const first = sum(box)
    box.n.push(1000)
    const second = sum(box)
    box.n = []
    expect(await first).toBe(6)
    expect(await second).toBe(1006)
  })

  it('does so from the very first call, while the code is still being prepared', async () => {
    // An import makes the bundler necessary, which takes longer than a tick.
    const { inspect } = await import('./imported.ts')
    const show = cluster.distribute((value: { list: number[] }) => inspect(value))
    const value = { list: [1] }
    const shown = show(value)
    value.list.push(2)
    expect(await shown).toBe('{"list":[1]}')
  })

  it('keeps identity and cycles of arguments and results', async () => {
    interface Node {
      self?: Node
      pair: object[]
    }
    const same = cluster.distribute((node: Node) => {
      if (node.self !== node || node.pair[0] !== node.pair[1]) throw new Error('lost')
      return node
    })
    const leaf = {}
    const node: Node = { pair: [leaf, leaf] }
    node.self = node
    const back = await same(node)
    expect(back.self).toBe(back)
    expect(back.pair[0]).toBe(back.pair[1])
    expect(back).not.toBe(node)
  })

  it('refuses an argument that cannot travel, with its path, and runs the others', async () => {
    const echo = cluster.distribute((value: unknown) => value)
    const bad = echo({ list: [1, { conn: () => 1 }] })
    const good = echo('fine')
    const error = (await rejection(bad)) as EncodeError
    expect(error).toBeInstanceOf(EncodeError)
    expect(error.code).toBe('DICOMP_E_ENCODE')
    expect(error.path).toBe('args[0].list[1].conn')
    expect(error.message).toContain('args[0].list[1].conn')
    expect(await good).toBe('fine')
  })

  it('refuses a result that cannot travel, with its path', async () => {
    const bad = cluster.distribute((n: number) => (n === 2 ? { inner: { open: () => n } } : { n }))
    const [one, two, three] = await Promise.allSettled([bad(1), bad(2), bad(3)])
    expect([one, three]).toEqual([
      { status: 'fulfilled', value: { n: 1 } },
      { status: 'fulfilled', value: { n: 3 } },
    ])
    const { reason } = two as PromiseRejectedResult
    expect(reason).toBeInstanceOf(EncodeError)
    expect(reason.path).toBe('result.inner.open')
  })

  it('has a plain version that runs here', async () => {
    const pid = cluster.distribute((n: number) => [n, process.env.DICOMP_HERE])
    process.env.DICOMP_HERE = 'here'
    expect(pid.local(1)).toEqual([1, 'here'])
    expect(await pid(1)).toEqual([1, undefined])
    delete process.env.DICOMP_HERE
  })

  it('keeps the name of the function', () => {
    function route() {}
    expect(cluster.distribute(route).name).toBe('route')
    expect(cluster.distribute(route, { name: 'other' }).name).toBe('other')
    expect(cluster.distribute(route).with({ name: 'third' }).name).toBe('third')
  })

  it('may be wrapped twice', async () => {
    const once = cluster.distribute((n: number) => n + 1, { name: 'once' })
    const twice = cluster.distribute(once, { priority: 1 })
    expect(await twice(1)).toBe(2)
    expect(twice.name).toBe('once')
  })
})

describe('with()', () => {
  it('makes another handle and leaves the first as it is', async () => {
    const f = cluster.distribute(() => process.env.WHO, { env: { WHO: 'first' } })
    const g = f.with({ env: { WHO: 'second' } })
    expect(await Promise.all([f(), g(), f()])).toEqual(['first', 'second', 'first'])
  })

  it('keeps the options that it does not name', () => {
    const f = cluster.distribute(() => 1, { name: 'kept', retries: 1 })
    expect(f.with({ retries: 2 }).with({ priority: 1 }).name).toBe('kept')
  })
})

describe('two clusters', () => {
  it('work side by side and close one by one', async () => {
    await using one = await connect({ slots: 1 })
    const two = await connect({ slots: 1 })
    const f = one.distribute((n: number) => n + 1)
    const g = two.distribute((n: number) => n + 2)
    expect(await Promise.all([f(1), g(1)])).toEqual([2, 3])
    await two.close()
    expect(await rejection(g(1))).toMatchObject({ code: 'DICOMP_E_CLOSED' })
    expect(await f(5)).toBe(6)
    expect(one.slots).toBe(1)
  })
})
