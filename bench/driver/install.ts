import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const PEERS = new URL('../peers/', import.meta.url)

/** Installs the peers of a folder once, from its lockfile, without running their scripts. */
export function installPeers(folder = PEERS): void {
  const wanted = fileURLToPath(new URL('package-lock.json', folder))
  const installed = fileURLToPath(new URL('node_modules/.package-lock.json', folder))
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(wanted).mtimeMs) return
  process.stderr.write('Installing npm packages to compare with …\n')
  const done = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: fileURLToPath(folder),
    stdio: ['ignore', 'ignore', 'inherit'],
    // npm is a .cmd file on Windows, which only a shell starts.
    shell: process.platform === 'win32',
  })
  if (done.status !== 0) throw new Error(`npm could not install the peers (${fileURLToPath(folder)})`)
}
