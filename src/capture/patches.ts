/**
 * What was done to a function or class after its text: properties of functions, live values of static fields,
 * methods that were replaced (decorators that a compiler lowered, mixins). And accessors and hidden properties of
 * plain objects, which the codec leaves alone. They travel as data, beside the values.
 */
import type { Callable, Node } from './ast.ts'
import type { Code } from './freevars.ts'
import type { CodeEntity, Entity } from './graph.ts'

/**
 * `[target, place, key, flags, value]`. Target: the index of an entity, or an object among the values. Place: 0 the
 * target itself, 1 its prototype. Flags: 1 writable, 2 enumerable, 4 configurable, 8 an accessor, whose value is
 * `[get, set]`.
 */
export type Patch = [
  target: number | object,
  place: 0 | 1,
  key: string | symbol,
  flags: number,
  value: unknown,
]

const NATURAL = new Set<string | symbol>(['length', 'name', 'prototype', 'arguments', 'caller'])

/** Properties of an entity that travels as text. */
export function patchesOf(entity: Entity): Patch[] {
  if (entity.kind !== 'code') return []
  const { fn } = entity
  const own = propertiesOf(entity, fn, 0)
  const prototype: unknown = Object.getOwnPropertyDescriptor(fn, 'prototype')?.value
  return typeof prototype === 'object' && prototype !== null
    ? [...own, ...propertiesOf(entity, prototype, 1)]
    : own
}

function propertiesOf(entity: CodeEntity, object: object, place: 0 | 1): Patch[] {
  const patches: Patch[] = []
  for (const key of Reflect.ownKeys(object)) {
    if (place === 0 ? NATURAL.has(key) : key === 'constructor') {
      if (key !== 'name' || typeof Object.getOwnPropertyDescriptor(object, key)?.value === 'string') continue
    }
    const property = Object.getOwnPropertyDescriptor(object, key)
    if (!property || isWritten(entity, property) || isUniqueSymbol(key)) continue
    patches.push([entity.index, place, key, ...contentOf(property)])
  }
  return patches
}

/** The accessors of a plain object, and the properties that are not enumerable. */
export function definedOf(object: object): Patch[] {
  return Reflect.ownKeys(object).flatMap((key): Patch[] => {
    const property = Object.getOwnPropertyDescriptor(object, key)
    if (!property || ('value' in property && property.enumerable) || isUniqueSymbol(key)) return []
    return [[object, 0, key, ...contentOf(property)]]
  })
}

function contentOf(property: PropertyDescriptor): [flags: number, value: unknown] {
  const isValue = 'value' in property
  const flags =
    (property.writable ? 1 : 0) |
    (property.enumerable ? 2 : 0) |
    (property.configurable ? 4 : 0) |
    (isValue ? 0 : 8)
  return [flags, isValue ? property.value : [property.get, property.set]]
}

/** Whether a member is there because the class text defines it as a method or accessor. */
function isWritten({ code }: CodeEntity, { value, get, set }: PropertyDescriptor): boolean {
  if (code.form !== 'class') return false
  const functions = [value, get, set].filter((each) => each !== undefined)
  const texts = methodTexts(code)
  return functions.length > 0 && functions.every((each) => texts.has(sourceOf(each)))
}

const methods = new WeakMap<Code, Set<string>>()

/** The texts of a class's methods and accessors, as `toString()` gives them. */
function methodTexts(code: Code): Set<string> {
  const known = methods.get(code)
  if (known) return known
  const { node, shift, text } = code
  const body = node.body as { body: readonly Node[] }
  const texts = body.body.flatMap((member) =>
    member.type === 'MethodDefinition' ? [methodText(text, member, shift)] : [],
  )
  const set = new Set(texts)
  methods.set(code, set)
  return set
}

/** The text of a method without `static` and decorators. */
export function methodText(
  text: string,
  member: Extract<Node, { type: 'MethodDefinition' }>,
  shift: number,
): string {
  const source = text.slice(member.start - shift, member.end - shift)
  return member.static ? source.replace(/^static(?:\s|\/\*.*?\*\/|\/\/.*\n)*/s, '') : source
}

const sources = new WeakMap<Callable, string>()

function sourceOf(value: unknown): string {
  if (typeof value !== 'function') return ''
  let source = sources.get(value)
  if (source === undefined) {
    source = Function.prototype.toString.call(value)
    sources.set(value, source)
  }
  return source
}

/** Nothing elsewhere can name such a key. */
function isUniqueSymbol(key: string | symbol): boolean {
  return (
    typeof key === 'symbol' &&
    Symbol.keyFor(key) === undefined &&
    !(key.description ?? '').startsWith('Symbol.')
  )
}
