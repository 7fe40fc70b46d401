/**
 * The parser, loaded on first use: a program that imports the library and never captures anything does not pay
 * the 10 ms that acorn takes.
 */
import { createRequire } from 'node:module'
import type * as Acorn from 'acorn'

export type Node = Acorn.AnyNode
/** Any function or class value. */
export type Callable = Function
export type FunctionNode =
  | Acorn.FunctionDeclaration
  | Acorn.FunctionExpression
  | Acorn.ArrowFunctionExpression
  | Acorn.AnonymousFunctionDeclaration
export type ClassNode = Acorn.ClassDeclaration | Acorn.ClassExpression | Acorn.AnonymousClassDeclaration
export type Program = Acorn.Program

/** Loads a dependency of this package synchronously (capture is synchronous, the entry point stays light). */
export const load = createRequire(import.meta.url)

let acorn: typeof Acorn | undefined

/** Everything that only matters outside of its surroundings is allowed: the text is a piece of a larger script. */
const LENIENT = {
  ecmaVersion: 'latest',
  allowAwaitOutsideFunction: true,
  allowReturnOutsideFunction: true,
  allowSuperOutsideMethod: true,
  allowHashBang: true,
  checkPrivateFields: false,
} as const

/**
 * Parses as a module (strict), or else as a script: CommonJS may use `await` as a name, `with`, octal numbers.
 * @throws SyntaxError of the parser for the module form
 */
export function parse(text: string): { program: Program; strict: boolean } {
  acorn ??= load('acorn') as typeof Acorn
  try {
    return { program: acorn.parse(text, { ...LENIENT, sourceType: 'module' }), strict: true }
  } catch (error) {
    try {
      return { program: acorn.parse(text, { ...LENIENT, sourceType: 'script' }), strict: false }
    } catch {
      throw error
    }
  }
}

/** The string that an expression always has, for `require('x')`, `import('x')`, `a['x']`. */
export function literal(node: Node | null | undefined): string | undefined {
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node?.type === 'TemplateLiteral' && node.quasis.length === 1)
    return node.quasis[0]?.value.cooked ?? undefined
  return undefined
}

/** Name of a property that does not depend on anything: `a.b`, `a['b']`. */
export function staticKey(node: Acorn.MemberExpression): string | undefined {
  if (!node.computed) return node.property.type === 'Identifier' ? node.property.name : undefined
  return literal(node.property as Node)
}

/** Calls `visit` with every direct child of a node. */
export function eachChild(node: Node, visit: (child: Node) => void): void {
  for (const value of Object.values(node)) {
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) visit(item)
    } else if (isNode(value)) visit(value)
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'
}
