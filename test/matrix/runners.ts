/** The ways to start a program: what each makes of the fixture project, and the command that runs the result. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build, transform } from 'esbuild'
import { execute, NODES, type NodeName } from './child.ts'
import { fixtures } from './workspace.ts'

export interface Runner {
  name: string
  nodes: NodeName[]
  /** Makes the program in an empty directory of the workspace. */
  make(dir: string): Promise<void>
  command: string[]
  env?: Record<string, string>
  /** The program reports through this file and not through stdout. */
  report?: string
}

const CORE = ['closures', 'classes', 'values', 'imports', 'flow', 'refusals']
const LEGACY = ['decorators', 'decorators']
const MODERN = ['decorators', 'decorators-2022']

/** Each list of cases has a name and the file in src/cases that it stands in, where that is another. */
type Cases = (string | string[])[]

interface Layout {
  cases: Cases
  /** The package has `"type": "module"`. */
  esm?: boolean
  compilerOptions?: Record<string, unknown>
  /** Where `#aliased` is found when the program runs. */
  aliased?: string
  main?: (imports: string, list: string) => string
}

const program = (imports: string, list: string) => `${imports}\nvoid runAll([${list}])\n`

/** A copy of the TypeScript project, with a main file for these cases. */
async function project(dir: string, layout: Layout): Promise<void> {
  const { cases, esm = true, compilerOptions = {}, aliased = './src/lib/aliased.ts' } = layout
  await cp(join(fixtures, 'app'), dir, { recursive: true })
  const config = JSON.parse(await readFile(join(dir, 'tsconfig.json'), 'utf8'))
  Object.assign(config.compilerOptions, compilerOptions)
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config, null, 2))
  const manifest = {
    name: 'matrix-app',
    private: true,
    ...(esm ? { type: 'module' } : {}),
    imports: { '#aliased': { types: './src/lib/aliased.ts', default: aliased } },
  }
  await writeFile(join(dir, 'package.json'), JSON.stringify(manifest, null, 2))
  const lists = cases.map((each) => (typeof each === 'string' ? [each, each] : each) as [string, string])
  for (const file of await readdir(join(dir, 'src/cases')))
    if (!lists.some(([, used]) => file === `${used}.ts`)) await rm(join(dir, 'src/cases', file))
  const imports = [
    ...lists.map(([name, file]) => `import { ${name} } from './cases/${file}.ts'`),
    "import { runAll } from './suite.ts'",
  ]
  const list = lists.map(([name]) => `...${name}`).join(', ')
  await writeFile(join(dir, 'src/main.ts'), (layout.main ?? program)(imports.join('\n'), list))
}

/** Every source with its types removed and otherwise as it was: what a person writes in JavaScript. */
async function withoutTypes(dir: string): Promise<void> {
  const files = await readdir(join(dir, 'src'), { recursive: true })
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    const { code } = await transform(await readFile(join(dir, 'src', file), 'utf8'), {
      loader: 'ts',
      target: 'esnext',
    })
    const target = join(dir, 'plain', file.replace(/\.ts$/, '.js'))
    await mkdir(join(target, '..'), { recursive: true })
    await writeFile(target, code.replaceAll(/(["']\.[^"'\n]*)\.ts(["'])/g, '$1.js$2'))
  }
}

async function compiled(dir: string, layout: Layout): Promise<void> {
  await project(dir, { ...layout, aliased: './out/lib/aliased.js' })
  const tsc = join(dir, '../node_modules/typescript/bin/tsc')
  const { code, stdout, stderr } = await execute(process.execPath, [tsc, '-p', '.'], { cwd: dir })
  if (code !== 0) throw new Error(`tsc: ${stdout}${stderr}`)
}

async function bundled(dir: string, layout: Layout, minify: boolean): Promise<void> {
  await project(dir, layout)
  await build({
    absWorkingDir: dir,
    entryPoints: ['src/main.ts'],
    outfile: join(dir, 'out.mjs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: true,
    minify,
    logLevel: 'silent',
  })
}

/** The cases as tests of the project's own. */
async function tested(dir: string): Promise<void> {
  await project(dir, {
    cases: [...CORE, 'meta', 'paths', LEGACY],
    main: (imports, list) =>
      [
        imports.replace("import { runAll } from './suite.ts'", "import { test } from 'vitest'"),
        `for (const [name, run] of [${list}]) test(name, async () => void (await run()))`,
        '',
      ].join('\n'),
  })
  const config = {
    resolve: { alias: { '@lib': join(dir, 'src/lib') } },
    test: { include: ['src/main.ts'], testTimeout: 30_000 },
  }
  await writeFile(join(dir, 'vitest.config.js'), `export default ${JSON.stringify(config, null, 2)}\n`)
}

const since22 = NODES.filter((name) => name !== 'node20')
const vitest = ['../node_modules/vitest/vitest.mjs', 'run', '--reporter=json', '--outputFile=report.json']
const commonJs = { module: 'commonjs', moduleResolution: 'bundler' }

export const RUNNERS: Runner[] = [
  {
    name: 'tsx, ES modules',
    nodes: NODES,
    make: (dir) => project(dir, { cases: [...CORE, 'meta', 'paths', LEGACY] }),
    command: ['--import', 'tsx', 'src/main.ts'],
  },
  {
    name: 'tsx, CommonJS',
    nodes: NODES,
    make: (dir) =>
      project(dir, {
        cases: [...CORE, 'paths', MODERN],
        esm: false,
        compilerOptions: { experimentalDecorators: false },
      }),
    command: ['--import', 'tsx', 'src/main.ts'],
  },
  {
    name: 'type stripping',
    nodes: since22,
    make: (dir) => project(dir, { cases: [...CORE, 'meta'] }),
    command: ['src/main.ts'],
  },
  {
    name: 'plain ES modules',
    nodes: NODES,
    make: async (dir) => {
      await project(dir, { cases: [...CORE, 'meta'], aliased: './plain/lib/aliased.js' })
      await withoutTypes(dir)
    },
    command: ['plain/main.js'],
    env: { MATRIX_SOURCES: 'plain', MATRIX_EXTENSION: '.js' },
  },
  {
    name: 'plain CommonJS',
    nodes: NODES,
    make: (dir) => cp(join(fixtures, 'plain-cjs'), dir, { recursive: true }),
    command: ['main.js'],
  },
  {
    name: 'tsc, ES modules',
    nodes: NODES,
    make: (dir) => compiled(dir, { cases: [...CORE, 'meta', LEGACY] }),
    command: ['--enable-source-maps', 'out/main.js'],
  },
  {
    name: 'tsc, CommonJS',
    nodes: NODES,
    make: (dir) =>
      compiled(dir, {
        cases: [...CORE, MODERN],
        esm: false,
        compilerOptions: { ...commonJs, experimentalDecorators: false },
      }),
    command: ['--enable-source-maps', 'out/main.js'],
  },
  {
    name: 'esbuild bundle',
    nodes: NODES,
    make: (dir) => bundled(dir, { cases: [...CORE, 'meta', 'paths', LEGACY] }, false),
    command: ['--enable-source-maps', 'out.mjs'],
  },
  {
    name: 'esbuild bundle, minified',
    nodes: NODES,
    make: (dir) =>
      bundled(
        dir,
        { cases: [...CORE, 'meta', 'paths', MODERN], compilerOptions: { experimentalDecorators: false } },
        true,
      ),
    command: ['--enable-source-maps', 'out.mjs'],
    env: { MATRIX_MINIFIED: 'yes' },
  },
  { name: 'vitest', nodes: NODES, make: tested, command: vitest, report: 'report.json' },
  {
    name: 'vitest, threads',
    nodes: ['node24'],
    make: tested,
    command: [...vitest, '--pool=threads'],
    report: 'report.json',
  },
  {
    name: 'vitest, vmThreads',
    nodes: ['node24'],
    make: tested,
    command: [...vitest, '--pool=vmThreads'],
    report: 'report.json',
  },
]
