/** What the peers need on this computer, and how each of them is started. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPeers } from '../../driver/install.ts'

const HERE = new URL('..', import.meta.url)
const path = (name: string) => fileURLToPath(new URL(name, HERE))

/** Hundreds of megabytes that do not belong into a checkout. */
const VENV = join(
  process.env.XDG_CACHE_HOME ?? join(os.homedir(), '.cache'),
  'dicomp',
  'bench',
  process.platform === 'win32' ? 'venv-win' : 'venv',
)
const PYTHON = join(VENV, 'bin', 'python')

const IN_PYTHON = ['ray', 'dask', 'dispy']

/** Command and arguments of one run. */
export function commandOf(competitor: string, scenario: string, params: object): [string, string[]] {
  const [name = '', variant] = competitor.split('+')
  const json = JSON.stringify({ ...params, variant })
  if (IN_PYTHON.includes(name)) return [PYTHON, [path('python/main.py'), name, scenario, json]]
  const file = name === 'dicomp' ? path('node/dicomp.mjs') : path(`peers/${name}.mjs`)
  return [process.execPath, ['--expose-gc', path('node/main.mjs'), file, scenario, json]]
}

/** Installs what is missing; returns why a peer cannot take part, by its name. */
export function preparePeers(wanted: ReadonlySet<string>): Map<string, string> {
  const missing = new Map<string, string>()
  const python = IN_PYTHON.filter((name) => wanted.has(name))
  if (python.length) {
    const why = installPython()
    if (why) for (const name of python) missing.set(name, why)
  }
  if (wanted.has('bullmq')) {
    installPeers(new URL('peers/', HERE))
    if (spawnSync('redis-server', ['--version']).error)
      missing.set('bullmq', 'no redis-server in PATH; on Debian: apt-get install redis-server')
  }
  return missing
}

/** name → version of all that can take part. */
export function versions(): Record<string, string> {
  const found: Record<string, string> = {}
  const line = (command: string, args: string[]) =>
    execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  if (existsSync(PYTHON)) {
    found.python = line(PYTHON, ['--version']).replace('Python ', '')
    for (const text of readFileSync(path('python/requirements.txt'), 'utf8').trim().split('\n')) {
      const [name = '', version = ''] = text.split('==')
      found[name] = version
    }
  }
  const bullmq = path('peers/node_modules/bullmq/package.json')
  if (existsSync(bullmq)) found.bullmq = JSON.parse(readFileSync(bullmq, 'utf8')).version
  try {
    found['redis-server'] = /v=(\S+)/.exec(line('redis-server', ['--version']))?.[1] ?? 'unknown'
  } catch {
    // Not here; then BullMQ did not take part.
  }
  return found
}

function installPython(): string | undefined {
  const requirements = readFileSync(path('python/requirements.txt'), 'utf8')
  const stamp = join(VENV, 'installed.txt')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === requirements) return undefined
  process.stderr.write('Installing Python packages to compare with (300 MB) …\n')
  mkdirSync(VENV, { recursive: true })
  const quiet = ['--quiet', '--disable-pip-version-check']
  for (const [command, args] of [
    ['python3', ['-m', 'venv', VENV]],
    [PYTHON, ['-m', 'pip', 'install', ...quiet, '-r', path('python/requirements.txt')]],
  ] as const) {
    const done = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    if (done.error) return `${command}: ${done.error.message}`
    if (done.status !== 0) return `${command} ${args[1]} ended with ${done.status}`
  }
  writeFileSync(stamp, requirements)
  return undefined
}
