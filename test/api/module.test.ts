import { connect } from 'dicomp'
import { afterAll, expect, it } from 'vitest'

const cluster = await connect({ slots: 2 })
afterAll(() => cluster.close())
const url = new URL('./exported.ts', import.meta.url)

it('a function of a module runs without being loaded here, and its handle can be captured', async () => {
  const shout = cluster.distribute.module<(text: string) => string>(url, 'shout')
  expect(await shout('a')).toBe('A!')
  expect(await shout.map(['a', 'b'])).toEqual(['A!', 'B!'])
  const twice = cluster.distribute(async (text: string) => shout(await shout(text)))
  expect(await twice('a')).toBe('A!!')
  expect(await cluster.distribute(shout)('b')).toBe('B!')
})

it('names the exports that there are when the one asked for is not', async () => {
  await expect(cluster.distribute.module(url, 'missing')()).rejects.toThrow(/missing.*shout/s)
})
