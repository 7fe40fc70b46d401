import { dirname } from 'node:path'
import type * as Esbuild from 'esbuild'

/** Names that a module exports, as the bundler sees them. */
export async function exportsOf(file: string, build: typeof Esbuild.build): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [file],
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    external: ['*.node'],
    absWorkingDir: dirname(file),
    outdir: dirname(file),
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  return Object.values(metafile.outputs).flatMap((output) => (output.entryPoint ? output.exports : []))
}
