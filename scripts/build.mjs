// Builds dist/: the library, the command line and the runner (the one file that runs inside a slot), then
// the type declarations. The runner is a single file without imports, so that a slot starts fast.
// usage: node scripts/build.mjs [directory, dist when not given]
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, resolve } from 'node:path'
import { build } from 'esbuild'

const outdir = process.argv[2] ?? 'dist'
if (outdir.startsWith('-')) throw new Error(`Expected a directory, got ${outdir}`)
rmSync(outdir, { recursive: true, force: true })
/**
 * What the library loads later. esbuild puts modules into one chunk when the same entries reach them, and each chunk
 * takes a millisecond to load: so all of these are made to reach the whole library, which is there by then anyway.
 */
const library = resolve('src/index.ts')
const later = new Set()
for (const file of readdirSync('src', { recursive: true })) {
  if (!file.endsWith('.ts') || file.startsWith('cli')) continue
  const path = resolve('src', file)
  for (const [, target] of readFileSync(path, 'utf8').matchAll(/\bimport\('(\..+?)'\)/g))
    later.add(resolve(dirname(path), target))
}
/**
 * Builtin modules by `process.getBuiltinModule`. An `import` of one reads every export that it has, and some of
 * those of node:fs and node:crypto are getters that load half of Node.js.
 */
const HEAVY = new Set(['node:child_process', 'node:crypto']) // loaded with the first call of one of their functions
const builtins = {
  name: 'builtins',
  setup({ onLoad, initialOptions }) {
    const splits = initialOptions.entryPoints.index !== undefined
    const statement = /^import (?!type\b)(?:(\w+)|\* as (\w+)|\{([^}]*)\}) from '(node:[^']+)'$/gm
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replace(statement, (_, whole, all, names = '', module) => {
        const some = names.split(',').filter((name) => name.trim() && !/^\s*type\b/.test(name))
        if (HEAVY.has(module)) {
          const forward = (name) =>
            `const ${name} = (...args) => process.getBuiltinModule('${module}').${name}(...args)`
          return some.map((name) => forward(name.trim())).join(';')
        }
        const target = whole ?? all ?? `{ ${some.join(',').replaceAll(' as ', ': ')} }`
        return `const ${target} = process.getBuiltinModule('${module}')`
      })
      return {
        contents: splits && later.has(path) ? `${contents}\nimport '${library}'` : contents,
        loader: 'ts',
      }
    })
  },
}
const common = {
  plugins: [builtins],
  minifyWhitespace: true,
  lineLimit: 160, // Node.js prints the line of an error that nobody caught
  minifySyntax: true,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  logLevel: 'warning',
  outdir,
}
// The library and the command line apart: what they share would be split into many small files, and each takes
// a millisecond to load.
const split = { ...common, packages: 'external', splitting: true }
await build({ ...split, entryPoints: { index: 'src/index.ts' }, chunkNames: 'chunks/[name]-[hash]' })
await build({
  ...split,
  entryPoints: {
    cli: 'src/cli/main.ts',
    'progress-hook': 'src/progress/hook.ts',
    'typescript-hook': 'src/cli/run/typescript-hook.ts',
  },
  chunkNames: 'chunks/[name]-[hash]',
})
await build({
  ...common,
  entryPoints: { runner: 'src/runner/main.ts' },
  sourcemap: false,
})
// What a slot loads when a task itself distributes: CommonJS, since it has to be there at once.
await build({
  ...common,
  format: 'cjs',
  entryPoints: { library: 'src/library.ts' },
  outExtension: { '.js': '.cjs' },
  packages: 'external',
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href" },
})

const tsc = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace('package.json', 'bin/tsc')
const types = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', outdir], {
  stdio: 'inherit',
})
process.exit(types.status ?? 1)
