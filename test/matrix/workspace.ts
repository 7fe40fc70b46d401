/** A directory outside of the repository where dicomp is installed the way that users get it: from `npm pack`. */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const repository = fileURLToPath(new URL('../..', import.meta.url))

/** The package to test: a directory with package.json and dist. */
const PACKAGE = process.env.DICOMP_TEST_PACKAGE ?? repository

export const fixtures = fileURLToPath(new URL('fixtures', import.meta.url))

export interface Workspace extends AsyncDisposable {
  /** Absolute path; node_modules stands in it, and projects beside that. */
  readonly root: string
}

/** Packs and installs dicomp; the other packages are links to those of the repository, as pnpm makes them. */
export async function createWorkspace(): Promise<Workspace> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'dicomp-matrix-')))
  const modules = join(root, 'node_modules')
  await mkdir(join(modules, 'dicomp'), { recursive: true })
  const flags = ['--ignore-scripts', '--json', '--pack-destination', root]
  const { stdout } = await run('npm', ['pack', ...flags], { cwd: PACKAGE, maxBuffer: 2 ** 25 })
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }]
  await run('tar', ['-xzf', join(root, filename), '-C', join(modules, 'dicomp'), '--strip-components=1'])
  for (const name of await readdir(join(repository, 'node_modules'))) {
    if (name.startsWith('.') || name === 'dicomp') continue
    await symlink(join(repository, 'node_modules', name), join(modules, name))
  }
  await cp(join(fixtures, 'packages'), modules, { recursive: true })
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true, maxRetries: 5 }) }
}
