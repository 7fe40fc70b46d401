/**
 * Code that asks where its own file is (`import.meta.url`, `__dirname`) to read other files beside it. Inside a
 * bundle the answer is another one. Packages that do so stay out of the bundle; files of the project that do so
 * are refused, unless the answer cannot matter.
 */
import { readFileSync } from 'node:fs'
import { type Node, parse } from 'acorn'
import { BundleError } from '../errors.ts'
import { inNodeModules, type Packages } from './packages.ts'
import type { Place } from './sourcemap.ts'
import { type Trace, traceOf } from './trace.ts'

const MENTION = /\bimport\.meta\b|\b__dirname\b|\b__filename\b/g
/** What a file that reads other files of its package also says. */
const READS =
  /\.wasm\b|\.node\b|\breadFile|\breaddir|\bcreateReadStream\b|\bnew URL\(|\bnew Worker\(|\bdlopen\b/
/** Properties of `import.meta` that only build tools set: undefined here as there. */
const TOOLS = new Set(['env', 'hot', 'vitest', 'glob', 'webpack', 'webpackHot'])

/** Bundled code with its source map; `base` is the directory that the map's sources refer to. */
export interface MappedCode {
  code: string
  map: string
  base: string
}

/**
 * Looks for code that depends on the place of its own file.
 * @param readable bundles the same again with the names of variables kept; called only when the project has a hit.
 * @returns folders of packages that have to stay out of the bundle.
 * @throws {BundleError} for a file of the project.
 */
export async function findOwnFiles(
  bundle: MappedCode,
  packages: Packages,
  readable: () => Promise<MappedCode>,
): Promise<Set<string>> {
  const tied = new Set<string>()
  let project = false
  for (const file of mentions(bundle)) {
    if (!inNodeModules(file)) project = true
    else if (READS.test(readFileSync(file, 'utf8'))) {
      const owner = packages.of(file)
      if (owner) tied.add(owner.dir)
    }
  }
  if (project) refuse(await readable())
  return tied
}

/** Whether the code uses one of the words at all. */
export function mentionsOwnFile(code: string): boolean {
  return code.search(MENTION) !== -1
}

function mentions({ code, map, base }: MappedCode): Set<string> {
  const files = new Set<string>()
  if (!mentionsOwnFile(code)) return files
  const trace = traceOf(map, base)
  for (const [row, text] of code.split('\n').entries()) {
    for (const { index } of text.matchAll(MENTION)) {
      const at = trace?.(row + 1, index + 1)
      if (at) files.add(at.file)
    }
  }
  return files
}

function refuse({ code, map, base }: MappedCode): void {
  const trace = traceOf(map, base)
  if (!trace) return
  for (const use of liveUses(code)) {
    const at = positionOf(code, use.start, trace)
    if (!at || inNodeModules(at.file)) continue
    throw new BundleError(
      `${at.file}:${at.line}:${at.column} uses \`${use.text}\`, the place of its own file. In a slot the code runs ` +
        'from another place, where the files beside it do not exist',
      {
        fix: 'read the file at the caller and capture its content, or pass an absolute path as an argument',
      },
    )
  }
}

function positionOf(code: string, offset: number, trace: Trace): Place | undefined {
  const before = code.slice(0, offset)
  return trace(before.split('\n').length, offset - before.lastIndexOf('\n'))
}

interface Use {
  start: number
  text: string
  /** The variable that is made from it, when it is evaluated only to make it. */
  into: string | undefined
}

interface AnyNode extends Node {
  [key: string]: unknown
}

/**
 * The uses whose value can matter. `const here = dirname(fileURLToPath(import.meta.url))` at the top of a module
 * does not when nothing in the bundle reads `here`; `import.meta.url === process.argv[1]` ("am I the program?")
 * is rightly false in a slot.
 */
function liveUses(code: string): Use[] {
  const uses: Use[] = []
  const references = new Map<string, Set<string | undefined>>()
  const declared = new Set<string>()

  const visit = (node: AnyNode, into: string | undefined): void => {
    if (node.type === 'MetaProperty') {
      uses.push({ start: node.start, text: 'import.meta', into })
      return
    }
    if (node.type === 'MemberExpression' && (node.object as AnyNode).type === 'MetaProperty') {
      const text = code.slice(node.start, node.end)
      if (!TOOLS.has(text.slice('import.meta.'.length))) uses.push({ start: node.start, text, into })
      return
    }
    if (node.type === 'Identifier') {
      const name = node.name as string
      if (name === '__dirname' || name === '__filename') uses.push({ start: node.start, text: name, into })
      const readers = references.get(name) ?? new Set()
      references.set(name, readers.add(into))
      return
    }
    if (node.type === 'BinaryExpression' && /^[!=]==?$/.test(node.operator as string)) {
      if (/\bargv\b/.test(code.slice(node.start, node.end))) return
    }
    if (node.type === 'VariableDeclarator' && (node.id as AnyNode).type === 'Identifier') {
      const name = (node.id as AnyNode).name as string
      declared.add(name)
      if (node.init) visit(node.init as AnyNode, name)
      return
    }
    // What a function reads is read whenever it is called; an unused function is not in the bundle.
    const inner = /Function|Class/.test(node.type) ? undefined : into
    for (const [key, value] of Object.entries(node)) {
      if ((key === 'property' || key === 'key') && node.computed === false && !node.shorthand) continue
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, inner)
    }
  }
  visit(parse(code, { ecmaVersion: 'latest', sourceType: 'module' }) as Node as AnyNode, undefined)

  const isRead = (name: string, seen: Set<string>): boolean => {
    if (seen.has(name)) return false
    seen.add(name)
    return [...(references.get(name) ?? [])].some((into) => into === undefined || isRead(into, seen))
  }
  return uses.filter(
    ({ text, into }) => !declared.has(text) && (into === undefined || isRead(into, new Set())),
  )
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && typeof (value as AnyNode).type === 'string'
}
