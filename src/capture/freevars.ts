/** What the text of one function or class needs from outside. */
import type { ClassNode, FunctionNode, Node } from './ast.ts'
import { parse } from './ast.ts'
import type { Analysis, Lexical, Load, Reference, Scope } from './scope.ts'
import { analyse } from './scope.ts'

/** The text of a function, parsed. All offsets count from the first character of the text. */
export interface Code {
  text: string
  /** `method`: the text stands in an object literal or class, and so needs one around it. */
  form: 'function' | 'arrow' | 'class' | 'method'
  node: FunctionNode | ClassNode
  /** What to subtract from the offsets of `node`. */
  shift: number
  /** For a method: its key (with `async`, `*`, `get`), up to its parameters. */
  head?: { accessor: 'get' | 'set' | undefined; key: { start: number; end: number }; computed: boolean }
  /** The own name in the text. */
  id: { name: string; start: number; end: number } | undefined
  strict: boolean
  free: Map<string, Reference[]>
  /** References to the own name. */
  self: Reference[]
  /** Every name that the text declares or uses: a new name must be none of them. */
  names: Set<string>
  lexical: Lexical[]
  loads: Load[]
}

/** Texts repeat (closures of one literal), and parsing is the expensive part. */
const cache = new Map<string, Code>()
const CACHE_LIMIT = 4000

/** @throws SyntaxError when the text is no function on its own */
export function codeOf(text: string): Code {
  const known = cache.get(text)
  if (known) return known
  const code = parseCode(text)
  if (cache.size >= CACHE_LIMIT) cache.clear()
  cache.set(text, code)
  return code
}

const FORMS = [
  ['(', ')'],
  ['({', '})'],
  ['(class{', '})'],
  // an arrow function may use the `new.target` of the function around it
  ['(function(){(', ')})'],
] as const

function parseCode(text: string): Code {
  let failure: unknown
  for (const [before, after] of FORMS) {
    try {
      const { program, strict } = parse(`${before}${text}\n${after}`)
      const statement = program.body[0]
      if (statement?.type !== 'ExpressionStatement') continue
      const code = build(statement.expression, text, before.length, strict)
      if (code) return code
    } catch (error) {
      failure ??= error
    }
  }
  throw failure ?? new SyntaxError('the text is no function')
}

function build(expression: Node, text: string, shift: number, strict: boolean): Code | undefined {
  switch (expression.type) {
    case 'FunctionExpression': {
      if (shift === 1) return describe(text, 'function', expression, shift, strict)
      const inner = expression.body.body[0]
      return inner?.type === 'ExpressionStatement' ? build(inner.expression, text, shift, strict) : undefined
    }
    case 'ArrowFunctionExpression':
      return describe(text, 'arrow', expression, shift, strict)
    case 'ClassExpression':
      return shift === 1
        ? describe(text, 'class', expression, shift, strict)
        : fromClass(expression, text, shift, strict)
    case 'ObjectExpression': {
      const property = expression.properties[0]
      if (property?.type !== 'Property' || property.value.type !== 'FunctionExpression') return undefined
      const code = describe(text, 'method', property.value, shift, strict)
      const { key, computed, kind } = property
      code.head = {
        accessor: kind === 'init' ? undefined : kind,
        key: keyRange(key, computed, text, shift),
        computed,
      }
      return code
    }
    default:
      return undefined
  }
}

function fromClass(node: ClassNode, text: string, shift: number, strict: boolean): Code | undefined {
  const member = node.body.body[0]
  if (member?.type !== 'MethodDefinition') return undefined
  const code = describe(text, 'method', member.value, shift, strict)
  const key = member.key as Node
  const accessor = member.kind === 'get' || member.kind === 'set' ? member.kind : undefined
  code.head = { accessor, key: keyRange(key, member.computed, text, shift), computed: member.computed }
  if (key.type === 'PrivateIdentifier')
    code.lexical = [
      { kind: 'private', start: key.start - shift, end: key.end - shift, name: key.name },
      ...code.lexical,
    ]
  return code
}

/** The key with its brackets. */
function keyRange(key: Node, computed: boolean, text: string, shift: number): { start: number; end: number } {
  const [start, end] = [key.start - shift, key.end - shift]
  if (!computed) return { start, end }
  return { start: text.lastIndexOf('[', start), end: text.indexOf(']', end) + 1 }
}

function describe(
  text: string,
  form: Code['form'],
  node: FunctionNode | ClassNode,
  shift: number,
  strict: boolean,
): Code {
  const analysis = analyse(node)
  const move = <T extends { start: number; end: number }>(range: T): T => {
    range.start -= shift
    range.end -= shift
    return range
  }
  const free = new Map<string, Reference[]>()
  for (const reference of analysis.free) {
    move(reference)
    if (reference.member) reference.member.end -= shift
    const list = free.get(reference.name)
    if (list) list.push(reference)
    else free.set(reference.name, [reference])
  }
  const id = 'id' in node && node.id ? node.id : undefined
  const self: Reference[] = []
  for (const { reference, declaration } of analysis.bound) {
    if (declaration.kind === 'self' && declaration.node === node) self.push(move(reference))
  }
  return {
    text,
    form,
    node,
    shift,
    id: id && { name: id.name, start: id.start - shift, end: id.end - shift },
    strict,
    free,
    self,
    names: namesOf(analysis),
    lexical: analysis.lexical.map(move),
    loads: analysis.loads.map((load) => ({
      ...move(load),
      argument: { start: load.argument.start - shift, end: load.argument.end - shift },
    })),
  }
}

function namesOf({ scope, free }: Analysis): Set<string> {
  const names = new Set(free.map(({ name }) => name))
  const add = (each: Scope) => {
    for (const name of each.names.keys()) names.add(name)
    each.children.forEach(add)
  }
  add(scope)
  return names
}
