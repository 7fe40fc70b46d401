import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { setUp, until } from './world.ts'

const world = setUp()

test('a job goes on without the program that submitted it; another one has its results', async () => {
  await world.node()
  await world.driver()
  const first = await world.client()
  const job = await first.distribute((n: number) => n * n).submit([1, 2, 3, 4], { detached: true })
  await first.close()
  const second = await world.client()
  const found = await second.job(job.id)
  expect(await found.results()).toEqual([1, 4, 9, 16])
  expect(await found.state()).toBe('done')
  expect(await second.jobs()).toMatchObject([{ id: job.id, state: 'done', progress: { total: 4, done: 4 } }])
  await found.remove()
  expect(await second.jobs()).toEqual([])
  expect(await world.messages()).toEqual({ J: 0, R: 0, L: 0, Q: 0 })
})
