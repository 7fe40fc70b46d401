import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { refused } from './fixtures/errors.ts'

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8')

test('docs/capture.md lists exactly the reasons that there are, and each is raised by a test', () => {
  const type =
    /export type Reason =([^\n]*\n(?: {2}\|[^\n]*\n)+)/.exec(read('src/capture/refuse.ts'))?.[1] ?? ''
  const reasons = [...type.matchAll(/'(\w+)'/g)].map(([, reason]) => reason as string).sort()
  const documented = [...read('docs/capture.md').matchAll(/^\| `(\w+)` \|/gm)]
    .map(([, reason]) => reason)
    .sort()
  expect(reasons.length).toBeGreaterThan(20)
  expect(documented).toEqual(reasons)
  const tested = new Set(refused.map(({ reason }) => reason))
  const elsewhere = ['TDZ', 'INSPECTOR', 'NAMESPACE']
  expect(reasons.filter((reason) => !tested.has(reason) && !elsewhere.includes(reason))).toEqual([])
})
