/** Finds the script of a function: cheaply from the file that it is likely to be in, or by asking the debugger. */
import { readFileSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FunctionInfo, Inspector } from './inspector.ts'
import { Script } from './script.ts'

/** Scripts of this process by V8's id. A script never changes. */
const known = new Map<string, Script>()
/** Scripts of Node.js and of packages whose text nobody has asked for yet. */
const urls = new Map<string, string>()
const MAX_BYTES = 4e6

export class Scripts {
  private readonly inspector: Inspector
  /** Files that functions of this capture may stand in. */
  private readonly candidates = new Set<string>()

  constructor(inspector: Inspector, site: string | undefined) {
    this.inspector = inspector
    if (site !== undefined) this.candidates.add(site)
  }

  /** A module that the captured code imports. */
  suggest(file: string | undefined): void {
    if (file !== undefined) this.candidates.add(file)
  }

  /** The script, if it can be had without the debugger. */
  cheap({ scriptId, line, column }: FunctionInfo, text: string): Script | undefined {
    const before = known.get(scriptId)
    if (before) return before
    const matches = [...this.candidates].flatMap((file) => {
      const script = fromDisk(scriptId, file)
      return script && startOf(script, line, column, text) !== undefined ? [script] : []
    })
    const [script] = matches
    if (!script || matches.length > 1) return undefined
    known.set(scriptId, script)
    return script
  }

  of(info: FunctionInfo, text: string): Script {
    return this.cheap(info, text) ?? this.certain(info)
  }

  /** The script as the engine has it. */
  certain({ scriptId }: FunctionInfo, distrust?: Script): Script {
    const before = known.get(scriptId)
    if (before && before !== distrust) return before
    const url = urls.get(scriptId)
    if (url?.startsWith('node:')) return new Script(scriptId, url, '')
    this.inspector.scripts((scripts) => {
      for (const { id, url, source } of scripts) {
        urls.set(id, url)
        // one window costs much more than the texts of the project, so take them all
        const wanted = id === scriptId || (/^(file:|\/)/.test(url) && !url.includes('/node_modules/'))
        if (!wanted || (known.has(id) && known.get(id) !== distrust)) continue
        known.set(id, new Script(id, url, url.startsWith('node:') ? '' : source()))
      }
    })
    return known.get(scriptId) ?? new Script(scriptId, '', '')
  }
}

/** Offset of the function with this text whose position V8 gives (its parameters, mostly). */
export function startOf(script: Script, line: number, column: number, text: string): number | undefined {
  const position = script.offset(line, column)
  const start = script.text.lastIndexOf(text, position + 1)
  return start >= 0 && start + text.length > position ? start : undefined
}

/** What Node.js runs for a file: its text, or its text with types blanked out. */
function fromDisk(id: string, file: string): Script | undefined {
  try {
    const { size, mtimeMs } = statSync(file)
    // what was written after the start need not be what runs
    if (size > MAX_BYTES || mtimeMs > Date.now() - process.uptime() * 1000) return undefined
    const text = readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
    const extension = extname(file)
    const url = pathToFileURL(file).href
    if (/^\.[mc]?js$/.test(extension)) return new Script(id, url, text)
    if (!/^\.[mc]?ts$/.test(extension)) return undefined
    const stripped = stripTypes(text)
    return stripped === undefined ? undefined : new Script(id, url, stripped)
  } catch {
    return undefined
  }
}

function stripTypes(text: string): string | undefined {
  const { stripTypeScriptTypes: strip } = process.getBuiltinModule('node:module') as {
    stripTypeScriptTypes?: (code: string) => string
  }
  if (!strip) return undefined
  // the function is marked experimental; its warning would be ours to explain
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return strip(text)
  } finally {
    process.emitWarning = emitWarning
  }
}
