import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'

export interface Machine {
  cpu: string
  cores: number
  memoryGB: number
  system: string
  node: string
  date: string
  commit: string
  /** name → version of everything that was measured. */
  versions: Record<string, string>
}

export function describeMachine(peers: readonly string[]): Machine {
  const versions: Record<string, string> = { dicomp: version(new URL('../../package.json', import.meta.url)) }
  for (const name of peers)
    versions[name] = version(new URL(`../peers/node_modules/${name}/package.json`, import.meta.url))
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    versions,
  }
}

function version(file: URL): string {
  return JSON.parse(readFileSync(file, 'utf8')).version
}

function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    // What is committed, and whether what ran differs from it: numbers of a changed tree must say so.
    const changed = git(
      'status',
      '--porcelain',
      '--',
      '../../src',
      '../../package.json',
      '..',
      ':!../RESULTS.md',
    )
    return git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '')
  } catch {
    return 'unknown'
  }
}
