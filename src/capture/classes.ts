/**
 * Classes by value. The text gives methods and instance fields; everything static is state, so it travels as data:
 * initialisers and static blocks have run here once and must not run again elsewhere. What the class extends is taken
 * from the live class, which also covers mixins and computed heritage.
 */
import type { Callable, Node } from './ast.ts'
import type { CodeEntity } from './graph.ts'
import { methodText } from './patches.ts'
import { refuse } from './refuse.ts'
import type { Walk } from './walk.ts'

/** Static method that `emit` calls once to set the private static fields. */
export const PRIVATE = "Symbol.for('dicomp.private')"

type Member = Extract<Node, { type: 'ClassBody' }>['body'][number]
type Field = Extract<Node, { type: 'PropertyDefinition' }>

export function describeClass(walk: Walk, entity: CodeEntity): void {
  const { code, fn } = entity
  const { node, shift } = code
  if (node.type !== 'ClassExpression' && node.type !== 'ClassDeclaration') return
  if (node.superClass && Object.getPrototypeOf(fn.prototype) !== null) {
    entity.parent = walk.entity(Object.getPrototypeOf(fn), { from: entity.trail, lines: () => ['extends'] })
    entity.edits.push({
      start: node.superClass.start - shift,
      end: node.superClass.end - shift,
      to: entity.parent,
    })
  }
  const privates: string[] = []
  // a static method may set static fields that are not there yet
  if (node.body.body.some((member) => 'static' in member && member.static)) walk.widen('values')
  for (const member of node.body.body) {
    if (member.type === 'StaticBlock' || (member.type === 'PropertyDefinition' && member.static))
      stripStatic(entity, member, privates)
    else if (member.computed) fixKey(walk, entity, member)
  }
  if (privates.length > 0) keepPrivates(walk, entity, privates)
}

function stripStatic(entity: CodeEntity, member: Member, privates: string[]): void {
  const { shift } = entity.code
  const range = { start: member.start - shift, end: member.end - shift }
  if (member.type === 'PropertyDefinition' && member.key.type === 'PrivateIdentifier') {
    privates.push(member.key.name)
    entity.edits.push({ ...range, to: `static #${member.key.name};` })
  } else entity.edits.push({ ...range, to: '' })
}

function keepPrivates(walk: Walk, entity: CodeEntity, names: string[]): void {
  const live = walk.inspector(entity.trail).privates(entity.fn)
  const values = names.map((name) => live.get(`#${name}`))
  const lines = () => [`static ${names.map((name) => `#${name}`).join(', ')}`]
  // the fields may be assigned at any time, and only the inspector sees it
  const slot = walk.slot(`${entity.preferred}Private`, values, { from: entity.trail, lines }, 'bindings')
  const end = entity.code.node.end - entity.code.shift - 1
  const body = names.map((name, index) => `this.#${name} = v[${index}]`).join('; ')
  entity.edits.push({ start: end, end, to: `static [${PRIVATE}](v) { ${body} }` })
  entity.privates = { names, slot }
}

/** A computed key is replaced by the key that it gave. */
function fixKey(walk: Walk, entity: CodeEntity, member: Exclude<Member, { type: 'StaticBlock' }>): void {
  const { code } = entity
  const key = member.key as Node
  if (isConstant(entity, key)) return
  const found =
    member.type === 'MethodDefinition' ? liveKey(entity, member) : fieldKey(walk, entity, member, key)
  const range = { start: key.start - code.shift, end: key.end - code.shift }
  const text =
    typeof found === 'string'
      ? JSON.stringify(found)
      : typeof found === 'symbol'
        ? symbolText(found)
        : undefined
  if (text !== undefined) {
    entity.edits.push({ ...range, to: text })
    return
  }
  refuse(
    {
      reason: typeof found === 'symbol' ? 'SYMBOL' : 'PARSE',
      what: `the computed name [${code.text.slice(range.start, range.end)}] of a class member cannot be known elsewhere`,
      fix: 'give the member a plain name, or a symbol made by Symbol.for()',
    },
    { from: entity.trail, lines: () => [`member at ${walk.where(entity, range.start)}`] },
  )
}

/** Whether the expression gives the same key everywhere: `'a' + 1`, `Symbol.iterator`. */
function isConstant({ code }: CodeEntity, key: Node): boolean {
  const [start, end] = [key.start - code.shift, key.end - code.shift]
  for (const references of code.free.values())
    for (const reference of references)
      if (reference.start >= start && reference.end <= end && reference.name !== 'Symbol') return false
  return !code.lexical.some((lexical) => lexical.start >= start && lexical.end <= end)
}

export function symbolText(symbol: symbol): string | undefined {
  const registered = Symbol.keyFor(symbol)
  if (registered !== undefined) return `Symbol.for(${JSON.stringify(registered)})`
  return symbol.description?.startsWith('Symbol.') ? symbol.description : undefined
}

function liveKey(
  { fn, code }: CodeEntity,
  member: Extract<Node, { type: 'MethodDefinition' }>,
): string | symbol | undefined {
  const text = methodText(code.text, member, code.shift)
  const object: object = member.static ? fn : fn.prototype
  return Reflect.ownKeys(object).find((key) => {
    const { value, get, set } = Object.getOwnPropertyDescriptor(object, key) ?? {}
    return [value, get, set].some(
      (each) => typeof each === 'function' && Function.prototype.toString.call(each) === text,
    )
  })
}

function fieldKey(walk: Walk, entity: CodeEntity, _: Field, key: Node): string | symbol | undefined {
  if (key.type !== 'Identifier') return undefined
  const { scopes } = walk.inspector(entity.trail).describe(entity.fn)
  const value = scopes.find(({ object }) => Object.hasOwn(object, key.name))?.object[key.name]
  return typeof value === 'string' || typeof value === 'symbol' ? value : undefined
}

/** A constructor written as a function may inherit (`util.inherits`, `Object.setPrototypeOf`). */
export function describeFunction(walk: Walk, entity: CodeEntity): void {
  const { fn, code } = entity
  const prototype: unknown =
    code.form === 'function' ? Object.getOwnPropertyDescriptor(fn, 'prototype')?.value : undefined
  if (typeof prototype !== 'object' || prototype === null || !Object.hasOwn(prototype, 'constructor')) return
  const base: object | null = Object.getPrototypeOf(prototype)
  if (base === null || Object.getPrototypeOf(base) === null) return
  const made: unknown = Object.getOwnPropertyDescriptor(base, 'constructor')?.value
  const trail = { from: entity.trail, lines: () => ['inherits from'] }
  if (typeof made !== 'function') {
    refuse(
      {
        reason: 'EXOTIC',
        what: `the prototype of function ${fn.name} inherits from an object without a constructor`,
        fix: 'write it as a class',
      },
      trail,
    )
  }
  entity.parent = walk.entity(made as Callable, trail)
  entity.linked = true
}
