import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { BundleError } from '../../src/errors.ts'
import { entryOf, load, ownCache, project } from './setup.ts'

ownCache()
const head = `import { fileURLToPath } from 'node:url'\nimport { dirname, join } from 'node:path'\n`

describe('a file of the project that reads files beside it is refused', () => {
  test.each([
    [
      'import.meta.url',
      `${head}export const f = () => fileURLToPath(new URL('./x', import.meta.url))`,
      3,
      'x.ts',
    ],
    ['import.meta.dirname', 'export function f() {\n  return import.meta.dirname\n}', 2, 'x.ts'],
    [
      'import.meta.url',
      `${head}const here = dirname(fileURLToPath(import.meta.url))\nexport const f = () => join(here, 'x')`,
      3,
      'x.ts',
    ],
    [
      'import.meta.url',
      `${head}const __filename = fileURLToPath(import.meta.url)\nconst __dirname = dirname(__filename)\nexport const f = () => __dirname`,
      3,
      'x.ts',
    ],
    ['__dirname', `// first\nexports.f = () => __dirname + '/x'`, 2, 'x.cjs'],
    ['__filename', `exports.f = () => __filename`, 1, 'x.cjs'],
    [
      'import.meta.url',
      `import { createRequire } from 'node:module'\nexport const f = () => createRequire(import.meta.url)('./x.json')`,
      2,
      'x.ts',
    ],
  ])('%s %#', async (what, text, line, name) => {
    const dir = project({ [name]: text })
    const made = Promise.resolve(bundle(entryOf(`import { f } from './${name}'`, '() => f()', dir)))
    const error = await made.catch((reason) => reason)
    expect(error).toBeInstanceOf(BundleError)
    expect(error.message).toContain(`${join(dir, name)}:${line}:`)
    expect(error.message).toContain(`uses \`${what}\``)
    expect(error.fix).toMatch(/capture its content, or pass an absolute path/)
  })
})

describe('where it cannot matter it is not', () => {
  test.each([
    [
      'am I the program?',
      `import { argv } from 'node:process'\nif (import.meta.url === 'file://' + argv[1]) console.log('main')\nexport const f = () => 1`,
    ],
    [
      'am I the program, by path',
      `${head}const self = fileURLToPath(import.meta.url)\nif (process.argv[1] === self) console.log('main')\nexport const f = () => 1`,
    ],
    [
      'a constant that nobody reads',
      `${head}const __filename = fileURLToPath(import.meta.url)\nconst __dirname = dirname(__filename)\nexport const other = () => __dirname\nexport const f = () => 1`,
    ],
    ['a function that is not used', `export const other = () => import.meta.url\nexport const f = () => 1`],
    ['in a string', `export const f = () => 'import.meta.url and __dirname'.length && 1`],
    ['as a property', `export const f = () => ({ __dirname: 1 }).__dirname`],
    [
      'of a build tool',
      `export const f = () => (import.meta as any).vitest ?? (import.meta as any).env ?? 1`,
    ],
  ])('%s', async (_name, text) => {
    const dir = project({ 'x.ts': text })
    const made = await bundle(entryOf(`import { f } from './x.ts'`, '() => f()', dir))
    expect((await load(made))()).toBe(1)
  })
})
