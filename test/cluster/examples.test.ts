import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Computers, runProgram, startComputers } from './computers.ts'

let computers: Computers
const scratch = mkdtempSync(join(tmpdir(), 'dicomp-cluster-examples-'))
const svg = join(scratch, 'drawing.svg')

beforeAll(async () => {
  computers = await startComputers()
  await Promise.all([computers.join('--slots', '1'), computers.join('--slots', '2')])
})
afterAll(async () => {
  await computers.stop()
  rmSync(scratch, { recursive: true, force: true })
})

const example = (file: string, ...args: string[]) =>
  runProgram(['--import', 'tsx', `examples/${file}`, ...args, '--json', '--svg', svg], {
    DICOMP_URL: computers.link,
  })

it('finds a short round trip on three slots of two nodes', { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await example('tsp/main.ts', 'berlin52', '--seconds', '5', '--seed', '2')
  expect(stderr).not.toContain('Warning')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ length: 7542, optimum: 7542, slots: 3 })
})

it('trains a network, the same to the last bit as on one slot here', { timeout: 60_000 }, async () => {
  const args = ['--epochs', '2', '--hidden', '32', '--batch', '100']
  const { code, stdout } = await example('mnist/main.ts', ...args)
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ slots: 3, difference: 0, accuracy: expect.closeTo(0.9, 1) })
})
