/**
 * The imports of a running script, in every form that loaders and compilers leave behind: `import`, `require`,
 * `__toESM(require())`, `__importStar(require())`, `await import()`, `await __vite_ssr_import__()`.
 */
import type { Node } from './ast.ts'
import { literal, staticKey } from './ast.ts'
import type { Declaration } from './scope.ts'

export interface Import {
  specifier: string
  /** What of the module: `[]` is all of it, `['default']`, `['name']`. */
  path: string[]
  /**
   * `esm`: a namespace and its names. `require`: module.exports and its properties. `interop`: module.exports behind
   * a compiler's wrapper that looks like a namespace.
   */
  form: 'esm' | 'require' | 'interop'
  /** Offset of the import in the script. */
  start: number
}

/** The `import` declarations of a module by local name. */
export function importsOf(statements: readonly Node[]): Map<string, Import> {
  const found = new Map<string, Import>()
  for (const statement of statements) {
    if (statement.type !== 'ImportDeclaration') continue
    const specifier = String(statement.source.value)
    for (const item of statement.specifiers) {
      const path =
        item.type === 'ImportNamespaceSpecifier'
          ? []
          : item.type === 'ImportDefaultSpecifier'
            ? ['default']
            : [item.imported.type === 'Identifier' ? item.imported.name : String(item.imported.value)]
      found.set(item.local.name, { specifier, path, form: 'esm', start: statement.start })
    }
  }
  return found
}

/** The import that a variable is initialised with: `x = require('m')`, `{ x } = await import('m')`. */
export function importOfVariable({ node, name, assigned }: Declaration): Import | undefined {
  if (node.type !== 'VariableDeclarator' || !node.init || assigned) return undefined
  const module = moduleOf(node.init)
  if (!module || node.id.type === 'Identifier') return module
  if (node.id.type !== 'ObjectPattern') return undefined
  for (const property of node.id.properties) {
    if (property.type !== 'Property' || property.computed || property.value.type !== 'Identifier') continue
    const key = property.key.type === 'Identifier' ? property.key.name : literal(property.key)
    if (property.value.name === name && key !== undefined) return { ...module, path: [...module.path, key] }
  }
  return undefined
}

/** Wrappers of compilers around `require()`; they keep the names and add `default`. */
const INTEROP =
  /^(?:__toESM|__importStar|__importDefault|_*interopRequire(?:Default|Wildcard)|_interopNamespace\w*)$/

/** The module that an expression stands for: `require('x')`, `(await import('x')).y`, `__toESM(require('x'), 1)`. */
function moduleOf(node: Node): Import | undefined {
  const { start } = node
  if (node.type === 'AwaitExpression') {
    const { argument } = node
    if (argument.type === 'ImportExpression') {
      const specifier = literal(argument.source)
      if (specifier !== undefined) return { specifier, path: [], form: 'esm', start }
    }
    if (argument.type === 'CallExpression' && argument.callee.type === 'Identifier') {
      const specifier = literal(argument.arguments[0])
      if (specifier !== undefined && /^__vite_ssr_(dynamic_)?import__$/.test(argument.callee.name))
        return { specifier, path: [], form: 'esm', start }
    }
    return undefined
  }
  if (node.type === 'MemberExpression' && node.object.type !== 'Super') {
    const key = staticKey(node)
    const module = key === undefined ? undefined : moduleOf(node.object)
    return module && key !== undefined ? { ...module, path: [...module.path, key] } : undefined
  }
  if (node.type !== 'CallExpression') return undefined
  const callee = node.callee.type === 'SequenceExpression' ? node.callee.expressions.at(-1) : node.callee
  const name =
    callee?.type === 'Identifier'
      ? callee.name
      : callee?.type === 'MemberExpression'
        ? staticKey(callee)
        : undefined
  const first = node.arguments[0]
  if (name === undefined || !first) return undefined
  if (callee?.type === 'Identifier' && name === 'require') {
    const specifier = literal(first)
    return specifier === undefined ? undefined : { specifier, path: [], form: 'require', start }
  }
  if (!INTEROP.test(name)) return undefined
  const inner = moduleOf(first)
  return inner && { ...inner, form: 'interop' }
}
