import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DicompError } from '../errors.ts'
import { canAnimate } from '../progress/index.ts'
import { isAlone } from './foreground.ts'
import { readLinkText } from './link-text.ts'

const FORWARDED: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']

/**
 * Runs a program as `node file args…` does, TypeScript included, with progress on stderr. Resolves to its exit
 * code; a signal that ends it ends this process as well.
 */
export async function run(
  file: string,
  args: string[],
  options: { progress: boolean; cluster?: string },
): Promise<number> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new DicompError('DICOMP_E_FILE', `There is no program ${file}`, { fix: 'check the path' })
  }
  const imports = [import.meta.resolve('tsx'), builtFile('typescript-hook', 'run/typescript-hook')]
  if (options.progress) imports.push(builtFile('progress-hook', '../progress/hook'))
  const flags = imports.flatMap((url) => ['--import', url])
  const { cluster } = options
  // In the environment nobody sees it in a list of processes.
  const env = cluster === undefined ? {} : { DICOMP_URL: readLinkText(cluster, 'dicomp run') }
  const child = spawn(process.execPath, [...flags, resolve(file), ...args], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      // Ctrl-C reaches the whole foreground group by itself; sent twice, it would look like a second Ctrl-C.
      if ((signal === 'SIGINT' || signal === 'SIGQUIT') && !isAlone()) return
      child.kill(signal)
    })
  }
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (done, failed) => {
      child.on('error', failed)
      child.on('exit', (code, signal) => done({ code, signal }))
    },
  )
  if (signal) {
    // It could not clear its live line any more; what comes next should not be glued to it.
    if (options.progress && canAnimate(process.stderr)) process.stderr.write('\n')
    for (const forwarded of FORWARDED) process.removeAllListeners(forwarded)
    process.kill(process.pid, signal)
    // The signal arrives within a moment; one that is ignored here must not turn into success.
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
  return code ?? 1
}

/** URL of a file that is loaded into the program: in the built package, or in the sources. */
function builtFile(name: string, source: string): string {
  for (const candidate of [`./${name}.js`, `../${name}.js`, `./${source}.ts`]) {
    const url = new URL(candidate, import.meta.url)
    if (statSync(fileURLToPath(url), { throwIfNoEntry: false })) return url.href
  }
  throw new Error(`${name} is missing from this installation of dicomp`)
}
