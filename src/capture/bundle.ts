/** From a captured entry to one file of code in the cache, with as little work as possible. */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import type { Built } from './build.ts'
import { type CodeFile, getCode, getNote, holdNote, noteFile, putCode, putNote } from './cache.ts'
import { compareInputs, type Inputs, noteInputs } from './inputs.ts'
import { type BuildMap, rememberOrigin } from './origins.ts'
import { conditions } from './packages.ts'
import { plainCode } from './plain.ts'
import type { Bundle, Entry, NativePackage } from './types.ts'

interface Made {
  code: CodeFile
  natives: NativePackage[]
  map: BuildMap | undefined
}

/** What the index on disk says about an entry. */
interface Note {
  hash: string
  natives: NativePackage[]
  base: string
  inputs: Inputs
}

/** Entries that this process knows. A process that makes functions without end forgets the oldest ones. */
const made = new Map<string, Made>()
const making = new Map<string, Promise<Made>>()
const MAX_KNOWN = 2000
/** Bumped when the same entry and files come out differently, or the index says something else. */
const FORMAT = 1
/** The clock that stamps files may be this much behind (ms). */
const CLOCK_STEP = 10

/**
 * The code of an entry, as one file that a slot can load.
 *
 * Synchronous when the entry is known in this process, imports nothing that has to be bundled, or was bundled by
 * an earlier process from files that have not changed since; otherwise a promise.
 * @throws {BundleError} with the line of the user's file, when the code cannot be bundled or written.
 */
export function bundle(entry: Entry): Bundle | Promise<Bundle> {
  const key = `${entry.resolveDir}\0${entry.text}`
  const known = made.get(key) ?? plain(key, entry)
  if (known) return finish(known, entry)
  const running = making.get(key)
  if (running) return running.then((result) => finish(result, entry))

  const id = idOf(key)
  const earlier = fromDisk(id)
  if (earlier) return finish(know(key, earlier), entry)

  const building = make(entry, id).then((result) => know(key, result))
  making.set(key, building)
  const forget = () => void making.delete(key)
  building.then(forget, forget)
  return building.then((result) => finish(result, entry))
}

function finish({ code, natives, map }: Made, entry: Entry): Bundle {
  const result: Bundle = { ...code, natives }
  rememberOrigin(result, entry, map)
  return result
}

function know(key: string, result: Made): Made {
  made.set(key, result)
  if (made.size > MAX_KNOWN) made.delete(made.keys().next().value as string)
  return result
}

function plain(key: string, entry: Entry): Made | undefined {
  const code = plainCode(entry)
  return code === undefined ? undefined : know(key, { code: putCode(code), natives: [], map: undefined })
}

async function make(entry: Entry, id: string): Promise<Made> {
  const began = Date.now() - CLOCK_STEP
  const { build } = await import('./build.ts') // most processes never build
  const built = await build(entry)
  const code = putCode(built.code)
  const file = mapFile(id, code.hash)
  putNote(file, built.map)
  holdNote(file)
  writeIndex(id, code, built, began)
  return { code, natives: built.natives, map: { file, base: built.base } }
}

function writeIndex(
  id: string,
  { hash }: CodeFile,
  { natives, base, inputs, lookups }: Built,
  began: number,
): void {
  const noted = noteInputs([...inputs, ...natives.map(({ path }) => path)], lookups, began)
  if (noted) putNote(indexFile(id), JSON.stringify({ hash, natives, base, inputs: noted } satisfies Note))
}

/** What an earlier process built, when a build now would give the same. */
function fromDisk(id: string): Made | undefined {
  const text = getNote(indexFile(id))
  if (text === undefined) return undefined
  const note = JSON.parse(text) as Note
  const state = compareInputs(note.inputs)
  if (state === 'changed') return undefined
  const code = getCode(note.hash)
  const file = mapFile(id, note.hash)
  if (!code || !holdNote(file)) return undefined
  if (state === 'touched') putNote(indexFile(id), JSON.stringify(note))
  return { code, natives: note.natives, map: { file, base: note.base } }
}

function indexFile(id: string): string {
  return noteFile('index', `${id}.json`)
}

/** Named by the code too: a process that still runs older code must not read the map of newer code. */
function mapFile(id: string, hash: string): string {
  return noteFile('map', `${id}.${hash}.json`)
}

let tools: string | undefined

/** Names an entry and everything else that decides what the bundler makes of it, except the files. */
function idOf(key: string): string {
  tools ??= bundlerVersion()
  const settings = JSON.stringify([FORMAT, tools, conditions(), process.env.NODE_PATH ?? ''])
  return createHash('sha256').update(settings).update(key).digest('hex').slice(0, 32)
}

function bundlerVersion(): string {
  try {
    return (createRequire(import.meta.url)('esbuild/package.json') as { version: string }).version
  } catch {
    return 'none' // the build will say that it is missing
  }
}
