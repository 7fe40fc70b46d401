import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { type BuildFailure, build } from 'esbuild'
import { BundleError, DicompError } from '../../errors.ts'

export interface InspectedTask {
  /** Absolute path. */
  path: string
  /** File name, for people. */
  name: string
  /** Hash of the code, imports of the same project included, packages not. */
  hash: string
}

/**
 * Looks at the module without running it: that it is there, that it compiles, that it has a default export.
 * @throws DicompError DICOMP_E_MODULE or DICOMP_E_BUNDLE
 */
export async function inspectTask(path: string): Promise<InspectedTask> {
  const file = resolve(path)
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new DicompError('DICOMP_E_MODULE', `There is no module ${path}`, {
      fix: 'give the path of a TypeScript or JavaScript file whose default export is the function to run',
    })
  }
  const { exports, code } = await compile(file)
  if (!exports.includes('default')) {
    const others = exports.length > 0 ? `; it exports ${exports.join(', ')}` : ''
    throw new DicompError('DICOMP_E_MODULE', `${path} has no default export${others}`, {
      fix: 'export the function to run: export default function (input) { … }',
    })
  }
  return {
    path: file,
    name: basename(file),
    hash: createHash('sha256').update(code).digest('hex').slice(0, 32),
  }
}

async function compile(file: string): Promise<{ exports: string[]; code: string }> {
  try {
    const result = await build({
      entryPoints: [file],
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      // Comments and formatting are not part of the task's identity.
      minify: true,
      legalComments: 'none',
      loader: { '.node': 'copy' },
      outdir: 'unwritten',
      write: false,
      metafile: true,
      logLevel: 'silent',
    })
    const entry = Object.values(result.metafile.outputs).find((output) => output.entryPoint !== undefined)
    const code = result.outputFiles.find((output) => /\.m?js$/.test(output.path))
    return { exports: entry?.exports ?? [], code: code?.text ?? '' }
  } catch (error) {
    const first = (error as Partial<BuildFailure>).errors?.[0]
    if (!first) throw error
    const at = first.location
    const where = at ? `${at.file}:${at.line}:${at.column + 1}: ` : ''
    throw new BundleError(`${where}${first.text}${at ? `\n    ${at.lineText.trim()}` : ''}`, { cause: error })
  }
}
