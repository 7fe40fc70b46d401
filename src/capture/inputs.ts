/**
 * What a bundle was made from, so that a later process can tell without the bundler whether it is still right:
 * the files that went in, the package.json and tsconfig.json files that steer the bundler (also those that were
 * not there), and which folder each package name meant.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve, sep } from 'node:path'
import type { Lookup } from './natives.ts'
import { inNodeModules, Packages } from './packages.ts'

/** `size` -1 stands for a file that was not there. */
interface FileState {
  path: string
  mtimeMs: number
  size: number
  hash: string
}

export interface Inputs {
  files: FileState[]
  lookups: Lookup[]
}

/**
 * Notes the state of the inputs after a build that began at `began` (ms since epoch). Returns undefined when a
 * file changed since then: nobody knows which of its contents the bundler read.
 */
export function noteInputs(
  files: readonly string[],
  lookups: Iterable<Lookup>,
  began: number,
): Inputs | undefined {
  const states: FileState[] = []
  for (const path of [...files, ...settingsOf(files)]) {
    const state = stateOf(path)
    if (state.mtimeMs >= began) return undefined
    if (state.size >= 0) state.hash = contentHash(path) ?? ''
    states.push(state)
  }
  return { files: states, lookups: [...lookups] }
}

/**
 * Whether a build would read the same again: `same`, `touched` (same content, other times; `inputs` is brought
 * up to date), or `changed`.
 */
export function compareInputs(inputs: Inputs): 'same' | 'touched' | 'changed' {
  let result: 'same' | 'touched' = 'same'
  for (const known of inputs.files) {
    const now = stateOf(known.path)
    if (now.size !== known.size) return 'changed'
    if (now.mtimeMs === known.mtimeMs) continue
    if (contentHash(known.path) !== known.hash) return 'changed'
    known.mtimeMs = now.mtimeMs
    result = 'touched'
  }
  const packages = new Packages()
  const moved = inputs.lookups.some(({ name, from, dir }) => (packages.find(name, from)?.dir ?? '') !== dir)
  return moved ? 'changed' : result
}

function stateOf(path: string): FileState {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats?.isFile()
    ? { path, mtimeMs: stats.mtimeMs, size: stats.size, hash: '' }
    : { path, mtimeMs: -1, size: -1, hash: '' }
}

function contentHash(path: string): string | undefined {
  try {
    return createHash('sha1').update(readFileSync(path)).digest('base64')
  } catch {
    return undefined
  }
}

/** The files that may change what the bundler makes of `files`, whether they exist or not. */
function settingsOf(files: readonly string[]): Set<string> {
  const settings = new Set<string>()
  const seen = new Set<string>()
  for (const file of files) {
    const inside = inNodeModules(file)
    for (let dir = dirname(file), up = ''; dir !== up; up = dir, dir = dirname(dir)) {
      if (seen.has(dir)) break
      seen.add(dir)
      if (dir.endsWith(`${sep}node_modules`)) break
      settings.add(join(dir, 'package.json'))
      if (!inside) addTsconfig(settings, join(dir, 'tsconfig.json'))
    }
  }
  return settings
}

/** A tsconfig.json and what it extends. Read loosely, since it may have comments. */
function addTsconfig(settings: Set<string>, file: string): void {
  if (settings.has(file)) return
  settings.add(file)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return
  }
  const value = /"extends"\s*:\s*(\[[^\]]*\]|"[^"]*")/.exec(text)?.[1] ?? ''
  for (const [, base] of value.matchAll(/"([^"]+)"/g)) {
    if (base === undefined || !(base.startsWith('.') || isAbsolute(base))) continue
    const path = resolve(dirname(file), base)
    addTsconfig(settings, path)
    if (!path.endsWith('.json')) addTsconfig(settings, `${path}.json`)
  }
}
