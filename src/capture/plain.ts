/**
 * Entries that need no bundler because all that they import is there in every slot: nothing, modules of Node.js
 * itself, and dicomp. They are ready at once; starting the bundler takes 15–40 ms and a tick.
 */
import { isBuiltin } from 'node:module'
import { RUNTIME, RUNTIME_NAMES } from './library.ts'
import type { Entry } from './types.ts'

const IMPORT = /^import (?:([^'"]+?) from )?(['"])([^'"\\]+)\2(?: with \{[^}]*\})?;?$/
const NAMED = /^\{([^}]*)\}$/

/** The entry's code as a slot can load it, or undefined when it needs the bundler. Lines keep their places. */
export function plainCode({ text, hasImports }: Entry): string | undefined {
  if (!hasImports) return text
  const lines = text.split('\n')
  let i = 0
  for (; i < lines.length; i++) {
    const line = lines[i] as string
    if (line.trim() === '' || line.startsWith('//')) continue
    const [, names, , from] = IMPORT.exec(line) ?? []
    if (from === undefined) break
    const replaced = from === 'dicomp' ? fromRuntime(names) : fromNode(line, from)
    if (replaced === undefined) return undefined
    lines[i] = replaced
  }
  // Anything that might be an import further down (also as a word in a string) is for the bundler to judge.
  const rest = lines.slice(i)
  return rest.some((line) => /\b(?:import|require)\b/.test(line)) ? undefined : lines.join('\n')
}

function fromNode(line: string, from: string): string | undefined {
  if (!isBuiltin(from)) return undefined
  return from.startsWith('node:') ? line : line.replace(/(['"])([^'"]+)\1/, '$1node:$2$1')
}

/** Only `import { a, b as c } from 'dicomp'`, of names that exist; else the bundler says what is wrong. */
function fromRuntime(names: string | undefined): string | undefined {
  const list = NAMED.exec(names ?? '')?.[1]
  if (list === undefined) return undefined
  const parts = list.split(',').flatMap((part) => {
    const [imported = '', as, local] = part.trim().split(/\s+/)
    if (imported === '') return []
    return [{ imported, local: as === 'as' ? local : imported }]
  })
  if (parts.some(({ imported, local }) => local === undefined || !RUNTIME_NAMES.includes(imported)))
    return undefined
  return `const {${parts.map(({ imported, local }) => `${imported}:${local}`).join(',')}}=${RUNTIME};`
}
