import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { isNative, type Manifest } from '../../src/capture/packages.ts'
import { entryOf, inOtherProcess, load, ownCache, project, root, temporary } from './setup.ts'

ownCache()

test.each<[string, Manifest, boolean]>([
  ['gypfile', { gypfile: true }, true],
  ['napi', { napi: { binaryName: 'x' } }, true],
  ['node-pre-gyp', { binary: { module_name: 'x' } }, true],
  ['a binary as main', { main: 'build/x.node' }, true],
  ['node-gyp-build', { dependencies: { 'node-gyp-build': '^4' } }, true],
  ['bindings', { dependencies: { bindings: '^1' } }, true],
  ['platforms', { optionalDependencies: { '@a/b-linux-x64-gnu': '1', '@a/b-darwin-arm64': '1' } }, true],
  ['one optional package', { optionalDependencies: { fsevents: '1' } }, false],
  ['an optional native package', { optionalDependencies: { 'msgpackr-extract': '3' } }, false],
  ['a command line', { binary: './bin/x' }, false],
  ['pure', { main: 'index.js', dependencies: { 'linux-release-info': '1' } }, false],
])('recognised by its package.json: %s', (_name, manifest, expected) => {
  expect(isNative({ name: 'x', version: '1.0.0', dir: temporary(), manifest })).toBe(expected)
})

test('a real native package stays outside and is loaded from where it is installed', async () => {
  const made = await bundle(
    entryOf(`import { crc32 } from '@node-rs/crc32'`, '(s) => crc32(String(s))', root),
  )
  const path = realpathSync(join(root, 'node_modules/@node-rs/crc32/index.js'))
  expect(made.natives).toEqual([
    { name: '@node-rs/crc32', version: expect.stringMatching(/^\d+\.\d+\.\d+/), path, optional: false },
  ])
  expect(made.size).toBeLessThan(2000)
  expect((await load(made))('hello')).toBe(0x3610a686)
  const [again] = await inOtherProcess([
    entryOf(`import { crc32 } from '@node-rs/crc32'`, '(s) => crc32(String(s))', root),
  ])
  expect(again?.bundle).toEqual(made)
})

test.each([
  ['as an ES module', `import { pack, unpack } from 'msgpackr'`],
  ['as CommonJS', `const { pack, unpack } = require('msgpackr')`],
])(
  'an optional native dependency of a pure package is no requirement: msgpackr %s',
  async (_name, imports) => {
    const made = await bundle(entryOf(imports, '(x) => [unpack(pack(x))]', root))
    expect(made.natives).toEqual([expect.objectContaining({ name: 'msgpackr-extract', optional: true })])
    expect(made.size).toBeGreaterThan(20_000)
    const value = { a: [1, 'two'.repeat(50)], b: null }
    expect((await load({ ...made, file: `${made.file}` }))(value)).toEqual([value])

    // A computer without it: the runtime throws whatever it throws, the package sees MODULE_NOT_FOUND.
    const fn = `() => { try { require('optional-addon'); return 'loaded' } catch (error) { return error.code } }`
    const dir = project({
      'node_modules/pure/package.json':
        '{ "name": "pure", "version": "1.0.0", "optionalDependencies": { "optional-addon": "1" } }',
      'node_modules/pure/index.js': `module.exports = ${fn}`,
      'node_modules/optional-addon/package.json':
        '{ "name": "optional-addon", "version": "1.2.3", "gypfile": true }',
      'node_modules/optional-addon/index.js': `throw new Error('not built')`,
    })
    const pure = await bundle(entryOf(`import pure from 'pure'`, 'pure', dir))
    expect(pure.natives).toMatchObject([{ name: 'optional-addon', version: '1.2.3', optional: true }])
    expect((await load(pure))()).toBe('MODULE_NOT_FOUND')
  },
)

test('an optional package that is not installed at all stays optional', async () => {
  const dir = project({
    'node_modules/pure/package.json':
      '{ "name": "pure", "version": "1.0.0", "optionalDependencies": { "gone-addon": "1" } }',
    'node_modules/pure/index.js': `try { require('gone-addon') } catch (error) { module.exports = error.code }`,
  })
  const made = await bundle(entryOf(`import code from 'pure'`, '() => code', dir))
  expect(made.natives).toEqual([])
  expect((await load(made))()).toBe('MODULE_NOT_FOUND')
})

test('packages that show only inside that they are native', async () => {
  const dir = project({
    'node_modules/hidden/package.json': '{ "name": "hidden", "version": "3.0.0", "main": "lib/index.js" }',
    'node_modules/hidden/lib/index.js': `module.exports = { where: __filename, load: () => require('../build/x.node') }`,
    'node_modules/hidden/build/x.node': '',
    'node_modules/user/package.json': '{ "name": "user", "version": "1.0.0" }',
    'node_modules/user/index.js': `exports.where = require('hidden').where`,
  })
  const made = await bundle(entryOf(`import { where } from 'user'`, '() => where', dir))
  const path = realpathSync(join(dir, 'node_modules/hidden/lib/index.js'))
  expect(made.natives).toEqual([{ name: 'hidden', version: '3.0.0', path, optional: false }])
  expect((await load(made))()).toBe(path)
})

test('packages that read files of their own stay where these are', async () => {
  const dir = project({
    'node_modules/wasmy/package.json':
      '{ "name": "wasmy", "version": "1.0.0", "type": "module", "exports": "./index.js" }',
    'node_modules/wasmy/index.js':
      `import { readFileSync } from 'node:fs'\nconst read = () => readFileSync(new URL('./data.txt', import.meta.url), 'utf8')\n` +
      `export { read, read as 'other name' }\nexport default class Wasmy {}`,
    'node_modules/wasmy/data.txt': 'own file',
    'node_modules/mention/package.json': '{ "name": "mention", "version": "1.0.0" }',
    'node_modules/mention/index.js': `module.exports = typeof __dirname`,
  })
  const imports = `import Wasmy, { read } from 'wasmy'\nimport mention from 'mention'`
  const made = await bundle(entryOf(imports, '() => [read(), Wasmy.name, mention]', dir))
  expect(made.natives).toMatchObject([
    { name: 'wasmy', path: realpathSync(join(dir, 'node_modules/wasmy/index.js')) },
  ])
  expect((await load(made))()).toEqual(['own file', 'Wasmy', 'string'])
})

test('two versions of one native package', async () => {
  const addon = (version: string) => ({
    'package.json': `{ "name": "addon", "version": "${version}", "gypfile": true }`,
    'index.js': `module.exports = '${version}'`,
  })
  const files: Record<string, string> = {
    'node_modules/user/package.json': '{ "name": "user", "version": "1.0.0" }',
    'node_modules/user/index.js': `module.exports = require('addon')`,
  }
  for (const [name, text] of Object.entries(addon('1.0.0'))) files[`node_modules/addon/${name}`] = text
  for (const [name, text] of Object.entries(addon('2.0.0')))
    files[`node_modules/user/node_modules/addon/${name}`] = text
  const dir = project(files)
  const made = await bundle(
    entryOf(`import addon from 'addon'\nimport user from 'user'`, '() => [addon, user]', dir),
  )
  expect(made.natives.map(({ version }) => version).sort()).toEqual(['1.0.0', '2.0.0'])
  expect((await load(made))()).toEqual(['1.0.0', '2.0.0'])
})

test('an addon of the project itself', async () => {
  const dir = project({
    'package.json': '{ "name": "mine", "version": "0.1.0" }',
    'build/x.node': '',
    'lib/use.ts': `import { createRequire } from 'node:module'\nexport const addon = () => require('../build/x.node')`,
  })
  const made = await bundle(entryOf(`import { addon } from './lib/use.ts'`, '() => addon', dir))
  expect(made.natives).toEqual([
    {
      name: 'mine/build/x.node',
      version: '0.1.0',
      path: realpathSync(join(dir, 'build/x.node')),
      optional: false,
    },
  ])
})
