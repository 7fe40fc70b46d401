import { describe, expect, it } from 'vitest'
import { run } from './helpers.ts'

describe('a program', () => {
  it('ends by itself when nothing is open, although slots are there', async () => {
    const { code, stdout, stderr } = await run(`
      import { connect, distribute } from 'dicomp'
      const f = distribute((n) => n + 1)
      const cluster = await connect({ slots: 1, isolation: 'process' })
      console.log(await f(1), await f.map([1, 2]), await cluster.distribute((n) => n)(7))
    `)
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '2 [ 2, 3 ] 7\n', stderr: '' })
  })

  it.each(['thread', 'process'])(
    'stays alive for an open call that nobody awaits (%s)',
    async (isolation) => {
      const { code, stdout } = await run(`
      import { distribute } from 'dicomp'
      const f = distribute((n) => new Promise((resolve) => setTimeout(resolve, 150, n)), { isolation: '${isolation}' })
      f(1).then((n) => console.log('call', n))
      f.submit([2]).results().then((all) => console.log('job', all))
    `)
      expect({ code, lines: stdout.trim().split('\n').sort() }).toEqual({
        code: 0,
        lines: ['call 1', 'job [ 2 ]'],
      })
    },
  )

  it('ends when its work is cancelled, whatever the timeouts were', async () => {
    const { code } = await run(`
      import { distribute } from 'dicomp'
      const controller = new AbortController()
      const f = distribute(() => new Promise(() => {}), { timeout: '1h', signal: controller.signal })
      const open = [f(), f.map([1, 2, 3])]
      setTimeout(() => controller.abort(), 200)
      await Promise.allSettled(open)
    `)
    expect(code).toBe(0)
  })

  it('ends with the error when a call that fails is not handled', async () => {
    const { code, stderr } = await run(`
      import { distribute } from 'dicomp'
      distribute(() => { throw new RangeError('not handled') })()
    `)
    expect(code).toBe(1)
    expect(stderr).toContain('RangeError: not handled')
  })

  it('ends after process.exit() with work open', async () => {
    const { code } = await run(`
      import { distribute } from 'dicomp'
      const f = distribute(() => { for (;;); }, { isolation: 'process' })
      f().catch(() => {})
      setTimeout(() => process.exit(3), 300)
    `)
    expect(code).toBe(3)
  })

  it('keeps no handle that was dropped, and none of its calls', async () => {
    const { code, stdout } = await run(
      `
      import { distribute } from 'dicomp'
      const churn = async (count) => {
        for (let i = 0; i < count; i++) await distribute((n) => n + 1, { priority: i % 3 })(i)
        for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
        return process.memoryUsage().heapUsed
      }
      await churn(300)
      const before = await churn(300)
      const after = await churn(3000)
      console.log(after - before < 3000 * 1000 ? 'steady' : 'grows by ' + (after - before) / 3000 + ' bytes a handle')
    `,
      { flags: ['--expose-gc'], limit: 60_000 },
    )
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'steady\n' })
  })

  it('keeps nothing of a million calls', async () => {
    const { code, stdout } = await run(
      `
      import { distribute } from 'dicomp'
      const f = distribute((n) => n)
      const open = f.with({})
      const calls = async (rounds) => {
        for (let i = 0; i < rounds; i++) await Promise.all(Array.from({ length: 10_000 }, (_, n) => f(n)))
        for (let i = 0; i < 3; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)) }
        return process.memoryUsage().heapUsed
      }
      const before = await calls(10)
      const after = await calls(100)
      console.log(after - before < 4e6 ? 'steady' : 'grows by ' + (after - before) / 1e6 + ' bytes a call')
    `,
      { flags: ['--expose-gc'], limit: 60_000 },
    )
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'steady\n' })
  })
})
