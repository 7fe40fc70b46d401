// Builds dist/: the library, the command line and the runner (the one file that runs inside a slot), then
// the type declarations. The runner is a single file without imports, so that a slot starts fast.
// usage: node scripts/build.mjs [directory, dist when not given]
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { build } from 'esbuild'

const outdir = process.argv[2] ?? 'dist'
rmSync(outdir, { recursive: true, force: true })
const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  logLevel: 'warning',
  outdir,
}
await build({
  ...common,
  entryPoints: {
    index: 'src/index.ts',
    cli: 'src/cli/main.ts',
    'progress-hook': 'src/progress/hook.ts',
    'typescript-hook': 'src/cli/run/typescript-hook.ts',
  },
  packages: 'external',
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
})
await build({
  ...common,
  entryPoints: { runner: 'src/runner/main.ts' },
  minifySyntax: true,
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
