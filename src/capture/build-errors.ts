/** What the bundler could not do, said in words and places of the user's program. */
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type * as Esbuild from 'esbuild'
import { BundleError } from '../errors.ts'
import { exportsOf } from './exports.ts'
import { LIBRARY, RUNTIME_NAMES } from './library.ts'
import { ENTRY_FILE } from './origins.ts'
import { packageName } from './packages.ts'
import { type Place, pathOf } from './sourcemap.ts'
import { traceOf } from './trace.ts'
import type { Entry } from './types.ts'

const SHOWN = 5

/** Turns a failed build into a BundleError that names the lines of the user's files. */
export async function bundleError(
  failure: unknown,
  entry: Entry,
  esbuild: typeof Esbuild | undefined,
): Promise<Error> {
  const messages = (failure as Partial<Esbuild.BuildFailure>)?.errors
  if (failure instanceof BundleError) return failure
  if (!Array.isArray(messages) || messages.length === 0) {
    return new BundleError(
      `The bundler failed: ${failure instanceof Error ? failure.message : String(failure)}`,
      {
        fix: 'check that the package esbuild is installed whole for this system (npm install)',
        cause: failure,
      },
    )
  }
  const lines: string[] = []
  let fix: string | undefined
  for (const message of messages.slice(0, SHOWN)) {
    const told = await tell(message, entry, esbuild)
    lines.push(told.text)
    fix ??= told.fix
  }
  if (messages.length > SHOWN) lines.push(`… and ${messages.length - SHOWN} more`)
  return new BundleError(lines.join('\n'), { fix: fix ?? 'correct the file at this place' })
}

async function tell(
  { text, location }: Esbuild.Message,
  entry: Entry,
  esbuild: typeof Esbuild | undefined,
): Promise<{ text: string; fix?: string }> {
  const at = place(location, entry)
  const missing = /^Could not resolve "(.+)"/.exec(text)?.[1]
  if (missing !== undefined) {
    const name = packageName(missing)
    const fix = /^[./]|^[A-Za-z]:|^#/.test(missing)
      ? 'correct the path of the import'
      : `install it (npm install ${name}), or correct the name of the import`
    return { text: `Cannot find '${missing}'${at}`, fix }
  }
  const unexported = /^No matching export in "(.+)" for import "(.+)"$/.exec(text)
  if (unexported) {
    const [, file = '', name = ''] = unexported
    const library = file === `${LIBRARY}:${LIBRARY}`
    const names = library ? RUNTIME_NAMES : await listExports(resolve(entry.resolveDir, file), esbuild)
    const there = names.length > 0 ? `; it exports ${names.map((known) => `'${known}'`).join(', ')}` : ''
    const what = name === 'default' ? 'no default export' : `no export '${name}'`
    return {
      text: `${library ? LIBRARY : basename(file)} has ${what}${at}${there}`,
      fix: 'import a name that the module exports',
    }
  }
  const unknown = /^No loader is configured for "(.+)" files/.exec(text)?.[1]
  if (unknown !== undefined) {
    const fix = 'read the file at the caller and capture its content'
    return { text: `A ${unknown} file cannot be part of the code${at}`, fix }
  }
  return { text: `${text}${at}` }
}

function place(location: Esbuild.Location | null, entry: Entry): string {
  if (!location) return ''
  const { file, line, column, lineText } = location
  if (file !== ENTRY_FILE) return ` (${resolve(entry.resolveDir, file)}:${line}:${column + 1})`
  const map = entry.map() as { sources?: (string | null)[] } | undefined
  const at = map && (traceOf(map, entry.resolveDir)?.(line, column + 1) ?? importLine(map.sources, lineText))
  return at ? ` (${at.file}:${at.line}:${at.column})` : ` (in the line \`${lineText.trim().slice(0, 120)}\`)`
}

/** Where one of the files imports what the entry's line imports: imports of the entry are not the user's text. */
function importLine(sources: (string | null)[] = [], lineText: string): Place | undefined {
  const specifier = /(?:from|import|require\()\s*["']([^"']+)["']/.exec(lineText)?.[1]
  if (specifier === undefined) return undefined
  const words = [`'${specifier}'`, `"${specifier}"`]
  for (const source of sources) {
    if (source === null) continue
    const file = pathOf(source)
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch {
      continue
    }
    for (const [i, line] of text.split('\n').entries()) {
      const column = Math.max(...words.map((word) => line.indexOf(word)))
      if (column >= 0 && /\b(?:import|from|require)\b/.test(line))
        return { file, line: i + 1, column: column + 1 }
    }
  }
  return undefined
}

/** The message stands without the list. */
async function listExports(file: string, esbuild: typeof Esbuild | undefined): Promise<string[]> {
  return esbuild ? exportsOf(file, esbuild.build).catch(() => []) : []
}
