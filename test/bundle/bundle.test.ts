import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { BundleError } from '../../src/errors.ts'
import { runtime } from '../helpers/runtimes.ts'
import { entry, entryOf, inOtherProcess, load, ownCache, project, root, temporary } from './setup.ts'

const cache = ownCache()

describe('without the bundler', () => {
  test('an entry without imports is its own code, at once', async () => {
    const given = entryOf('', '(n) => n + 1', root)
    const made = bundle(given)
    if (made instanceof Promise) throw new Error('not synchronous')
    const code = readFileSync(made.file)
    expect(code.toString()).toBe(given.text)
    expect(made.hash).toBe(createHash('sha256').update(code).digest('hex').slice(0, 32))
    expect(made).toMatchObject({ size: code.length, natives: [] })
    expect(made.file).toBe(join(cache, 'v1/code', `${made.hash}.mjs`))
    expect((await load(made))(1)).toBe(2)
  })

  test('neither do modules of Node.js and names of dicomp need it; lines stay where they are', async () => {
    const imports = [
      `import { createHash as hash } from 'crypto'`,
      `import * as path from "node:path"`,
      `import { task, EncodeError as E } from 'dicomp'`,
    ].join('\n')
    const given = entryOf(
      imports,
      `() => [task.attempt, path.basename('/a/b'), hash('md5').update('').digest('hex'), typeof E]`,
      root,
    )
    const made = bundle(given)
    if (made instanceof Promise) throw new Error('not synchronous')
    expect((await load(made))()).toEqual([3, 'b', 'd41d8cd98f00b204e9800998ecf8427e', 'undefined'])
    expect(readFileSync(made.file, 'utf8').split('\n')).toHaveLength(given.text.split('\n').length)
  })

  test.each([
    [`import { chunk } from 'lodash-es'`, '() => chunk([1, 2, 3], 2).length'],
    [`import { nonsense } from 'dicomp'`, '() => 1'],
    [`import fs from 'node:fs'`, `() => require('node:os').EOL`],
    [`import fs from 'node:fs'`, `() => import('lodash-es/chunk.js').then((m) => typeof m.default)`],
  ])('%s with %s goes to the bundler', async (imports, fn) => {
    const made = bundle(entryOf(imports, fn, root))
    expect(made).toBeInstanceOf(Promise)
    await (made as Promise<unknown>).catch(() => {})
  })
})

describe('what code may use', () => {
  const cases: [string, string, string, unknown][] = [
    [
      'a barrel of ES modules',
      `import { chunk } from 'lodash-es'`,
      '() => chunk([1, 2, 3], 2)',
      [[1, 2], [3]],
    ],
    [
      'mathjs',
      `import { add, bignumber } from 'mathjs'`,
      `() => String(add(bignumber('0.1'), bignumber('0.2')))`,
      '0.3',
    ],
    [
      'a CommonJS package that requires modules of Node.js',
      `import { Command } from 'commander'`,
      `() => new Command().option('-x <n>').parse(['-x', '7'], { from: 'user' }).opts().x`,
      '7',
    ],
    [
      'require in the code',
      '',
      `() => require('magic-string').default.name + require('node:os').EOL.length`,
      'MagicString1',
    ],
    [
      'import() in the code',
      `import 'node:os'`,
      `async () => (await import('lodash-es/chunk.js')).default([1, 2], 1)`,
      [[1], [2]],
    ],
    ['dicomp by the path of its source', `import { task } from './src/index.ts'`, '() => task.attempt', 3],
    [
      'a file URL',
      `import chunk from '${new URL('../../node_modules/lodash-es/chunk.js', import.meta.url)}'`,
      '() => chunk([1], 1)',
      [[1]],
    ],
  ]
  test.each(cases)('%s', async (_name, imports, fn, expected) => {
    const made = await bundle(entryOf(imports, fn, root))
    expect(await (await load(made))()).toEqual(expected)
    expect(made.natives).toEqual([])
  })

  test('CommonJS default exports mean what they mean in Node.js', async () => {
    const dir = project({
      'node_modules/odd/package.json': '{ "name": "odd", "version": "1.0.0" }',
      'node_modules/odd/index.js': 'exports.__esModule = true; exports.default = 1; exports.other = 2',
    })
    const made = await bundle(entryOf(`import odd from 'odd'`, '() => odd', dir))
    expect((await load(made))()).toEqual({ __esModule: true, default: 1, other: 2 })
  })

  test('modules of the project: TypeScript, tsconfig paths, extends, names that stay', async () => {
    const dir = project({
      'tsconfig.json': '{ // comment\n "extends": "./base.json" }',
      'base.json': '{ "compilerOptions": { "paths": { "@app/*": ["./lib/*"] } } }',
      'lib/shape.ts':
        'export abstract class Shape { constructor(readonly size: number) {} abstract area(): number }',
      'src/square.ts': `import { Shape } from '@app/shape'\nexport class Square extends Shape { area() { return this.size ** 2 } }`,
    })
    const imports = `import { Square } from './square.ts'\nimport { Shape } from '@app/shape'`
    const fn = '(n) => [new Square(n).area(), Square.name, new Square(n) instanceof Shape]'
    const made = await bundle(entryOf(imports, fn, join(dir, 'src')))
    expect((await load(made))(3)).toEqual([9, 'Square', true])
  })

  test('export conditions that the process was started with', async () => {
    const dir = project({
      'node_modules/two/package.json': JSON.stringify({
        name: 'two',
        version: '1.0.0',
        type: 'module',
        exports: { '.': { development: './dev.js', default: './prod.js' } },
      }),
      'node_modules/two/dev.js': `export default 'dev'`,
      'node_modules/two/prod.js': `export default 'prod'`,
    })
    const given = entryOf(`import two from 'two'`, '() => two', dir)
    const [plain] = await inOtherProcess([given])
    const [dev] = await inOtherProcess([given], { env: { NODE_OPTIONS: '--conditions=development' } })
    expect([plain?.result, dev?.result]).toEqual(['prod', 'dev'])
  })
})

describe('the second time', () => {
  test('the same entry is known at once; calls at the same time share one build', async () => {
    const given = entryOf(`import { chunk } from 'lodash-es'`, '(n) => chunk([n], 1) /* shared */', root)
    const [a, b] = [bundle(given), bundle({ ...given })]
    expect(a).toBeInstanceOf(Promise)
    expect(b).toBeInstanceOf(Promise)
    expect(await a).toEqual(await b)
    expect(bundle({ ...given })).toEqual(await a)
  })

  test('another process does not build again, and builds when a file has changed', async () => {
    const dir = project({ 'helper.ts': 'export const helper = (n: number) => n + 1' })
    const file = join(dir, 'helper.ts')
    aged(file)
    const given = entryOf(`import { helper } from './helper.ts'`, '(n) => helper(n)', dir)
    const run = async () => (await inOtherProcess([given]))[0]
    const first = await run()
    expect(first).toMatchObject({ sync: false, result: 8 })
    const second = await run()
    expect(second).toMatchObject({ sync: true, result: 8, bundle: first?.bundle })

    // Other times, same content: still no build, also the next time.
    utimesSync(file, 1e9, 1e9)
    expect(await run()).toMatchObject({ sync: true, result: 8 })

    // Same size and even the same time, other content: a build is due as soon as the time is another one.
    writeFileSync(file, 'export const helper = (n: number) => n + 2')
    aged(file)
    expect(await run()).toMatchObject({ sync: false, result: 9 })
    expect(await run()).toMatchObject({ sync: true, result: 9 })
  })

  test('settings and packages that change what an import means are noticed', async () => {
    const dir = project({
      'a/x.ts': `export const x = 'a'`,
      'b/x.ts': `export const x = 'b'`,
      'tsconfig.json': '{ "extends": "./paths.json" }',
      'paths.json': '{ "compilerOptions": { "paths": { "@x": ["./a/x.ts"] } } }',
      'store/one/package.json': '{ "name": "pkg", "version": "1.0.0" }',
      'store/one/index.js': `module.exports = 'one'`,
      'store/two/package.json': '{ "name": "pkg", "version": "2.0.0" }',
      'store/two/index.js': `module.exports = 'two'`,
    })
    mkdirSync(join(dir, 'node_modules'))
    const link = join(dir, 'node_modules/pkg')
    symlinkSync(join(dir, 'store/one'), link, 'dir')
    for (const name of ['a/x.ts', 'b/x.ts', 'tsconfig.json', 'paths.json']) aged(join(dir, name))
    for (const name of ['one', 'two'])
      for (const f of ['package.json', 'index.js']) aged(join(dir, 'store', name, f))
    const given = entryOf(`import { x } from '@x'\nimport pkg from 'pkg'`, '() => x + pkg', dir)
    const run = async () => {
      const made = (await forgetful())(given)
      return { sync: !(made instanceof Promise), result: (await load(await made))() }
    }
    expect(await run()).toMatchObject({ sync: false, result: 'aone' })
    expect(await run()).toMatchObject({ sync: true, result: 'aone' })

    writeFileSync(join(dir, 'paths.json'), '{ "compilerOptions": { "paths": { "@x": ["./b/x.ts"] } } }')
    aged(join(dir, 'paths.json'))
    expect(await run()).toMatchObject({ sync: false, result: 'bone' })

    rmSync(link)
    symlinkSync(join(dir, 'store/two'), link, 'dir')
    expect(await run()).toMatchObject({ sync: false, result: 'btwo' })
    expect(await run()).toMatchObject({ sync: true, result: 'btwo' })

    const nearer = join(dir, 'b/tsconfig.json')
    writeFileSync(nearer, '{}')
    aged(nearer)
    expect(await run()).toMatchObject({ sync: false })
  })

  test('damaged files of the cache are made again', async () => {
    const own = join(temporary('damaged'))
    const dir = project({ 'helper.ts': 'export const helper = (n: number) => n + 1' })
    aged(join(dir, 'helper.ts'))
    const given = [
      entryOf(`import { helper } from './helper.ts'`, '(n) => helper(n)', dir),
      entryOf('', '(n) => n * 3', dir),
    ]
    const before = process.env.DICOMP_CACHE_DIR
    process.env.DICOMP_CACHE_DIR = own
    const run = async () => {
      const bundle = await forgetful()
      return Promise.all(given.map((one) => bundle({ ...one })))
    }
    const first = await run()
    let spoilt = 0
    for (const kind of ['code', 'index', 'map']) {
      for (const name of readdirSync(join(own, 'v1', kind))) {
        const file = join(own, 'v1', kind, name)
        const bytes = readFileSync(file)
        const flipped = Buffer.from(bytes)
        flipped[bytes.length >> 1] = (flipped[bytes.length >> 1] ?? 0) ^ 1
        for (const bad of [bytes.subarray(0, bytes.length >> 1), Buffer.from(''), flipped, undefined]) {
          if (bad) writeFileSync(file, bad)
          else rmSync(file)
          expect(await run()).toEqual(first)
          if (kind === 'code' || bad === undefined) expect(readFileSync(file)).toEqual(bytes)
          else writeFileSync(file, bytes)
          spoilt++
        }
      }
    }
    process.env.DICOMP_CACHE_DIR = before
    expect(spoilt).toBe(16) // two of code, one of each other kind, four ways each
  })

  test('the hash does not depend on the folder of the project, the working directory or the Node.js version', async () => {
    const files = {
      'tsconfig.json': '{}',
      'lib/deep/helper.ts': `import { basename } from 'node:path'\nexport const helper = (n: number) => basename('/x/' + n)`,
      'cjs.cjs': `const os = require('os'); module.exports = { eol: os.EOL }`,
    }
    const imports = `import { helper } from './lib/deep/helper.ts'\nimport cjs from './cjs.cjs'\nimport add from 'lodash-es/add.js'`
    const fn = '(n) => helper(add(n, 1)) + cjs.eol'
    const [one, two] = [project(files, { packages: true }), join(project(files), 'sub')]
    mkdirSync(two)
    const other = project(files, { packages: true })
    const a = await inOtherProcess([entryOf(imports, fn, one)], { cwd: one })
    const b = await inOtherProcess([entryOf(imports, fn, other)], {
      cwd: '/',
      env: { DICOMP_CACHE_DIR: temporary() },
    })
    expect(a[0]?.result).toBe('8\n')
    expect(b[0]?.bundle.hash).toBe(a[0]?.bundle.hash)
    const node = await runtime('node24')
    if (node) {
      const c = await inOtherProcess([entryOf(imports, fn, one)], {
        node,
        env: { DICOMP_CACHE_DIR: temporary() },
      })
      expect(c[0]).toMatchObject({ sync: false, result: '8\n', bundle: { hash: a[0]?.bundle.hash } })
    }
    expect(readFileSync(a[0]?.bundle.file ?? '', 'utf8')).not.toContain(one)
  })
})

describe('errors name the place and a fix', () => {
  const failure = async (imports: string, dir: string): Promise<BundleError> => {
    const error = await Promise.resolve(bundle(entryOf(imports, '() => 1', dir))).then(
      () => undefined,
      (reason) => reason,
    )
    expect(error).toBeInstanceOf(BundleError)
    return error as BundleError
  }

  test('an import that does not resolve, in the project', async () => {
    const dir = project({
      'a.ts': `const first = 1\nexport const a = first\nexport { b } from './nowhere.ts'\n`,
    })
    const error = await failure(`import { a, b } from './a.ts'`, dir)
    expect(error.message).toContain(`Cannot find './nowhere.ts' (${join(dir, 'a.ts')}:3:`)
    expect(error.fix).toBe('correct the path of the import')
  })

  test('a package that is not installed, imported by the function itself', async () => {
    const dir = temporary()
    const map = { version: 3, sources: [join(dir, 'main.ts')], names: [], mappings: 'AAUA' } // line 11
    const given = entry(
      `import x from 'not-there/sub'\nexport default () => ({ fn: () => x, entities: [] })`,
      dir,
      map,
    )
    await expect(bundle(given)).rejects.toThrow(
      `Cannot find 'not-there/sub' (${join(dir, 'main.ts')}:11:1)\n  Fix: install it (npm install not-there), or correct`,
    )
  })

  test('an import that the entry has from one of the captured files', async () => {
    const main = `// first\n\nimport gone, { type A } from "not-there-either"\nexport const f = () => gone`
    const dir = project({ 'main.ts': main })
    const map = { version: 3, sources: [join(dir, 'main.ts')], names: [], mappings: ';AAGA' }
    const given = entry(
      `import { default as gone } from 'not-there-either'\nexport default () => ({ fn: () => gone, entities: [] })`,
      dir,
      map,
    )
    await expect(bundle(given)).rejects.toThrow(
      `Cannot find 'not-there-either' (${join(dir, 'main.ts')}:3:30)`,
    )
  })

  test('a name that is not exported', async () => {
    const dir = project({ 'a.ts': 'export const one = 1, two = 2\nexport type Three = 3' })
    const error = await failure(`import { three } from './a.ts'; console.log(three)`, dir)
    expect(error.message).toMatch(/^a\.ts has no export 'three' .*; it exports 'one', 'two'/)
  })

  test('a name that dicomp does not have', async () => {
    const { message } = await failure(
      `import { distribut } from 'dicomp'; console.log(distribut)`,
      temporary(),
    )
    expect(message).toMatch(/^dicomp has no export 'distribut' .*; it exports 'distribute', 'connect', /)
  })

  test('a syntax error, and a file that is no code', async () => {
    const dir = project({
      'bad.ts': 'export const a = 1\nexport const = 2',
      'b.ts': `import './style.xyz'`,
      'style.xyz': '',
    })
    expect((await failure(`import './bad.ts'`, dir)).message).toContain(`${join(dir, 'bad.ts')}:2:14`)
    const other = await failure(`import './b.ts'`, dir)
    expect(other.message).toContain(`A .xyz file cannot be part of the code (${join(dir, 'b.ts')}:1:`)
    expect(other.fix).toContain('capture its content')
  })

  test('many errors: the first five', async () => {
    const imports = Array.from({ length: 8 }, (_, i) => `import './missing${i}.ts'`).join('\n')
    const { message } = await failure(imports, temporary())
    expect(message.match(/Cannot find/g)).toHaveLength(5)
    expect(message).toContain('… and 3 more')
  })
})

/** `bundle` of a process that knows nothing yet. */
async function forgetful(): Promise<typeof bundle> {
  vi.resetModules()
  return (await import('../../src/capture/bundle.ts')).bundle
}

/** Files changed within the clock's step of a build are not trusted to be what was built; tests do not wait. */
function aged(file: string): void {
  const time = statSync(file).mtimeMs / 1000 - 5
  utimesSync(file, time, time)
}
