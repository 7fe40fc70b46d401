import { afterAll, describe, expect, test } from 'vitest'
import { capture } from '../../src/capture/capture.ts'
import { encode } from '../../src/codec/encode.ts'
import { toFrame } from '../../src/codec/frame.ts'
import type { Encoded } from '../../src/codec/index.ts'
import { cases } from './fixtures/suite/suite.ts'
import {
  bundledProject,
  cleanUp,
  compiledProject,
  differences,
  FIXTURES,
  project,
  type Shipped,
  shipSuite,
} from './support.ts'

afterAll(cleanUp)
const tsx = ['--import', import.meta.resolve('tsx')]

describe('every case of the suite gives the same in a fresh process', () => {
  test('node, ES modules', async () => {
    const shipped = await shipSuite(`${project('esm', 'module', 'esm')}/suite.js`, [])
    expect(shipped.length).toBeGreaterThanOrEqual(90)
    expect(await differences(shipped)).toEqual({})
  })

  test('node, CommonJS', async () => {
    const shipped = await shipSuite(`${project('cjs', 'commonjs', 'cjs')}/suite.js`, [])
    expect(await differences(shipped)).toEqual({})
  })

  test('tsx, ES modules', async () => {
    const shipped = await shipSuite(`${FIXTURES}/suite/suite.ts`, tsx)
    expect(await differences(shipped)).toEqual({})
  })

  test('tsx, CommonJS', async () => {
    const shipped = await shipSuite(`${project('tsx-cjs', 'commonjs')}/suite.ts`, tsx)
    expect(await differences(shipped)).toEqual({})
  })

  test('tsc, CommonJS', async () => {
    expect(await differences(await shipSuite(await compiledProject(), []))).toEqual({})
  })

  test('a bundle of esbuild with packages outside', async () => {
    expect(await differences(await shipSuite(bundledProject(), []))).toEqual({})
  })

  test('decorated classes, standard and legacy', async () => {
    for (const kind of ['standard', 'legacy']) {
      const dir = `${FIXTURES}/decorators/${kind}`
      const shipped = await shipSuite(`${dir}/suite.ts`, tsx, { TSX_TSCONFIG_PATH: `${dir}/tsconfig.json` })
      expect(shipped.length).toBeGreaterThanOrEqual(3)
      expect(await differences(shipped)).toEqual({})
    }
  })

  test('vitest', async () => {
    const frame = (encoded: Encoded) => Buffer.from(toFrame(encoded)).toString('base64')
    const shipped: Shipped[] = []
    for (const [name, fn, ...args] of cases) {
      const { entry, env, entities, mutability } = capture(fn, { site: `${FIXTURES}/suite/suite.ts` })
      const here = frame(encode(await fn(...args), { entities }))
      shipped.push({ name, ...entry, env: frame(env), args: frame(encode(args)), here, mutability })
    }
    expect(await differences(shipped)).toEqual({})
  })

  test('corners', async () => {
    const shipped = await shipSuite(`${FIXTURES}/edge/suite.js`, [])
    expect(shipped.length).toBeGreaterThanOrEqual(59)
    expect(await differences(shipped)).toEqual({})
  })

  test('handwritten CommonJS', async () => {
    const shipped = await shipSuite(`${FIXTURES}/commonjs/suite.cjs`, [])
    expect(shipped.length).toBeGreaterThanOrEqual(15)
    expect(await differences(shipped)).toEqual({})
  })
})
