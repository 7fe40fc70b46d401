/** Both examples as programs of their own, at reduced size. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runtime } from '../helpers/runtimes.ts'
import { example, scratch } from './run.ts'

const svg = join(scratch, 'picture.svg')

/** Length of a tour, from the text of the file and nothing of the example's own code. */
function lengthOf(file: string, tour: number[]): number {
  const places = new Map<number, [number, number]>()
  for (const line of readFileSync(file, 'utf8').split('NODE_COORD_SECTION')[1]?.split('\n') ?? []) {
    const [id, x, y] = line.trim().split(/\s+/).map(Number) as [number, number, number]
    if (id > 0) places.set(id, [x, y])
  }
  expect([...tour].sort((a, b) => a - b)).toEqual([...places.keys()].sort((a, b) => a - b))
  return tour.reduce((sum, city, i) => {
    const [ax, ay] = places.get(city) as [number, number]
    const [bx, by] = places.get(tour[(i + 1) % tour.length] as number) as [number, number]
    return sum + Math.round(Math.hypot(ax - bx, ay - by))
  }, 0)
}

describe('route optimisation', () => {
  it.each([
    ['berlin52', 7542, 1],
    ['kroA100', 21282, 1],
    ['a280', 2579, 1.01],
    ['pr1002', 259045, 1.03],
  ])('%s: a valid tour of the published quality', async (name, optimum, factor) => {
    const args = [name, '--seconds', '5', '--seed', '2', '--slots', '2', '--json', '--svg', svg]
    const { code, stdout, stderr } = await example('tsp/main.ts', args)
    expect(stderr).toMatch(/best [\d,]+ .*optimum/)
    expect(code).toBe(0)
    const result = JSON.parse(stdout)
    expect(result).toMatchObject({ instance: name, optimum, slots: 2, seed: 2 })
    expect(lengthOf(`examples/tsp/data/${name}.tsp`, result.tour)).toBe(result.length)
    expect(result.length).toBeGreaterThanOrEqual(optimum)
    expect(result.length).toBeLessThanOrEqual(optimum * factor)
    const picture = readFileSync(svg, 'utf8')
    expect(picture).toMatch(/^<svg .*viewBox/)
    expect(picture.match(/<circle/g)).toHaveLength(result.cities)
  })

  it('prints the result for people, quiet lines when piped', async () => {
    const { code, stdout, stderr } = await example('tsp/main.ts', ['berlin52', '--svg', svg])
    expect(code).toBe(0)
    expect(stdout).toContain('berlin52: 52 cities')
    expect(stdout).toContain('length    7,542  the published optimum')
    expect(stdout).toContain('every city once')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: no escape sequences
    expect(stdout + stderr).not.toMatch(/\x1b|\r/)
  })

  it('Ctrl-C ends the search and keeps what was found', async () => {
    let sent = false
    const { code, stdout } = await example(
      'tsp/main.ts',
      ['pr1002', '--seconds', '600', '--json', '--svg', svg],
      {
        onStderr: (_, child) => {
          if (!sent) child.kill('SIGINT')
          sent = true
        },
      },
    )
    expect(code).toBe(130)
    const result = JSON.parse(stdout)
    expect(lengthOf('examples/tsp/data/pr1002.tsp', result.tour)).toBe(result.length)
  })

  it('--compare prints one slot beside all of them', async () => {
    const { code, stdout } = await example('tsp/main.ts', [
      'a280',
      '--compare',
      '--seconds',
      '1',
      '--seeds',
      '2',
      '--slots',
      '2',
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(/1 slot +2 slots\nseed 1 .*\nseed 2 .*\nmean .*%.*%\nkicks\/s +\d+ +\d+/)
  })

  it("a file of one's own, with a known optimum", async () => {
    const file = join(scratch, 'square.tsp')
    writeFileSync(
      file,
      'NAME: <square>\nTYPE: TSP\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 9 9\n3 0 9\n4 9 0\nEOF\n',
    )
    const { code, stdout } = await example('tsp/main.ts', [file, '--optimum', '36', '--json', '--svg', svg])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ cities: 4, length: 36, gap: 0 })
    expect(readFileSync(svg, 'utf8')).toContain('&lt;square&gt;')
  })

  it.each([
    ['a file that is not there', ['nowhere.tsp'], 'nowhere.tsp: cannot be read (ENOENT'],
    ['a time that is none', ['--seconds=-1'], '--seconds is "-1". Give a number from 0.1 to 86400.'],
    ['no slots', ['--slots', '0'], '--slots is "0". Give a whole number from 1 to 1024.'],
    ['a seed that is none', ['--seed', '1.5'], '--seed is "1.5". Give a whole number'],
    ['two files', ['a280', 'ch150'], 'One file at a time, got 2: a280 ch150'],
    ['an unknown option', ['--sedd', '1'], "Unknown option '--sedd'"],
    [
      'a place that cannot be written',
      ['berlin52', '--svg', join(scratch, 'no/where.svg')],
      'Give another place with --svg',
    ],
  ])('refuses %s', async (_, args, message) => {
    const { code, stderr } = await example('tsp/main.ts', args)
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('    at ')
    expect(code).toBe(2)
  })
})

describe('neural network training', () => {
  const small = ['--epochs', '2', '--hidden', '32', '--batch', '100', '--svg', svg]

  it('learns, and any number of slots gives the same network', async () => {
    const runs = []
    for (const slots of ['1', '3']) {
      const { code, stdout, stderr } = await example('mnist/main.ts', [...small, '--slots', slots, '--json'])
      expect(stderr).toMatch(/epoch {2}2\/2 {2}loss 0\.\d+ {2}accuracy \d\d\.\d+ %/)
      expect(code).toBe(0)
      runs.push(JSON.parse(stdout))
    }
    const [one, three] = runs
    expect(one.accuracy).toBeGreaterThan(0.88)
    expect(three.difference).toBe(0)
    expect(three.speedUp).toBeGreaterThan(0)
    const curve = (run: { epochs: { loss: number; accuracy: number }[] }) =>
      run.epochs.map(({ loss, accuracy }) => ({ loss, accuracy }))
    expect(curve(three)).toEqual(curve(one))
    expect(readFileSync(svg, 'utf8')).toContain('of the test digits read correctly')
  })

  it('prints curves, accuracy, speed-up and the check for people', async () => {
    const args = ['--epochs', '2', '--hidden', '8', '--batch', '1000', '--slots', '2', '--svg', svg]
    const { code, stdout } = await example('mnist/main.ts', args)
    expect(code).toBe(0)
    expect(stdout).toMatch(/accuracy {3}\d\d\.\d\d % of 2004 test digits/)
    expect(stdout).toMatch(/speed-up {3}\d\.\d\d× over one slot/)
    expect(stdout).toContain('the same on one slot, to the last bit')
    expect(stdout).toContain('└────')
  })

  it('refuses options that make no sense', async () => {
    const { code, stderr } = await example('mnist/main.ts', ['--batch', 'many'])
    expect(code).toBe(2)
    expect(stderr).toContain('--batch is "many". Give a whole number from 1 to 10000.')
  })
})

describe('a Node.js that strips types itself runs the examples without anything else', async () => {
  const node = await runtime('node24')
  it.skipIf(node === undefined)('both', async () => {
    const tour = await example('tsp/main.ts', ['berlin52', '--json', '--svg', svg], { node: node as string })
    expect(tour.stderr).not.toContain('Error')
    expect(JSON.parse(tour.stdout).length).toBe(7542)
    const digits = await example(
      'mnist/main.ts',
      ['--epochs', '1', '--hidden', '8', '--slots', '2', '--json', '--svg', svg],
      { node: node as string },
    )
    expect(JSON.parse(digits.stdout).difference).toBe(0)
  })
})
