/**
 * Slots inside of bubblewrap (Linux): tasks see the system's programs and libraries, the runtime and dicomp itself, all
 * read-only, and an empty /tmp that is gone with their slot; no file of anybody, no other process, no network.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { cacheDir } from '../capture/cache.ts'
import { OptionError } from '../errors.ts'
import { runnerFile } from '../slot/runner-file.ts'

export interface Sandbox {
  /** Command that starts what follows it inside. */
  wrapper: string[]
  /** Variables that are others inside. */
  env: Record<string, string>
  close(): void
}

/** What programs need of the system. Not /etc as a whole: it has secrets, maybe the link of this node. */
const SYSTEM = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/etc/alternatives',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
  '/etc/localtime',
]
const TRY_MS = 10_000

/**
 * @param runtime command of slots
 * @throws OptionError where there is no bubblewrap, or the system does not let it work
 */
export async function openSandbox(runtime: string): Promise<Sandbox> {
  if (process.platform !== 'linux') {
    throw new OptionError(
      '--isolation sandbox needs Linux',
      'leave it out, or join with a computer that has Linux',
    )
  }
  const bubblewrap = inPath('bwrap')
  if (!bubblewrap) {
    throw new OptionError(
      '--isolation sandbox needs bubblewrap, which is not installed (there is no bwrap in PATH)',
      'install it: `apt install bubblewrap`, or the package of that name of your system',
    )
  }
  const command = realpathSync(inPath(runtime) ?? runtime)
  // Code that tasks of tasks bring is exchanged between slots: the only place that all of them can write.
  const shared = mkdtempSync(join(cacheDir(), 'sandbox-'))
  const natives = join(cacheDir(), 'natives')
  mkdirSync(natives, { recursive: true, mode: 0o700 })
  const readable = [...SYSTEM, command, ...packageFolders(), join(cacheDir(), 'code'), natives]
  const wrapper = [
    bubblewrap,
    ...['--unshare-all', '--die-with-parent', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'],
    // After /tmp, below which any of them may be.
    ...readable.filter((path) => existsSync(path)).flatMap((path) => ['--ro-bind', path, path]),
    ...['--bind', shared, shared, '--chdir', '/tmp', '--'],
  ]
  const close = (): void => rmSync(shared, { recursive: true, force: true })
  const why = await attempt([...wrapper, command, '--version'])
  if (why !== undefined) {
    close()
    throw new OptionError(
      `--isolation sandbox does not work on this computer: ${why}`,
      'allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and in AppArmor), or leave it out',
    )
  }
  return { wrapper, env: { HOME: '/tmp', TMPDIR: '/tmp', DICOMP_CACHE_DIR: shared }, close }
}

/** The folder of dicomp, and the one with what it depends on. */
function packageFolders(): string[] {
  const home = dirname(dirname(realpathSync(runnerFile())))
  const at = home.lastIndexOf(`${join('/node_modules')}/`)
  return at < 0 ? [home] : [home.slice(0, at + '/node_modules'.length)]
}

function inPath(name: string): string | undefined {
  if (isAbsolute(name)) return name
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name)
    if (isAbsolute(path) && existsSync(path)) return path
  }
  return undefined
}

/** @returns why it failed */
function attempt([command, ...args]: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(command as string, args, { timeout: TRY_MS }, (error, _, stderr) =>
      resolve(error ? stderr.trim().split('\n').at(-1) || error.message : undefined),
    )
  })
}
