/** What may be in a captured value: where a function or an unwelcome object is in it, and what is wrong with that. */
import { types } from 'node:util'
import type { Callable, Node } from './ast.ts'
import { knownFunction } from './builtins.ts'
import { codeOf } from './freevars.ts'
import type { Trouble } from './refuse.ts'

const sourceOf = (fn: Callable): string => Function.prototype.toString.call(fn)

/** A child of a value with the label that names it in a path. */
function* children(value: object): Generator<[string, unknown]> {
  if (types.isProxy(value)) return
  if (types.isMap(value)) {
    let index = 0
    for (const [key, item] of Map.prototype.entries.call(value)) {
      yield [`<key ${index}>`, key]
      yield [`.get(${keyText(key, index)})`, item]
      index++
    }
  } else if (types.isSet(value)) {
    let index = 0
    for (const item of Set.prototype.values.call(value)) yield [`<item ${index++}>`, item]
  }
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key)
    if (!descriptor) continue
    const label = keyLabel(key, Array.isArray(value))
    if ('value' in descriptor) yield [label, descriptor.value]
    else for (const each of [descriptor.get, descriptor.set]) if (each) yield [label, each]
  }
}

function keyText(key: unknown, index: number): string {
  return typeof key === 'object' || typeof key === 'function'
    ? `<key ${index}>`
    : typeof key === 'string'
      ? JSON.stringify(key)
      : String(key)
}

function keyLabel(key: string | symbol, inArray: boolean): string {
  if (typeof key === 'symbol') return `[${String(key)}]`
  if (inArray && /^\d+$/.test(key)) return `[${key}]`
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}

/**
 * Visits every value of a graph once, nearest first, until `visit` returns true; functions are ends. `path` gives the
 * labels on the way there.
 */
export function visitValues(
  root: unknown,
  visit: (value: unknown, path: () => string[]) => boolean | undefined,
): void {
  if (visit(root, () => [])) return
  const seen = new Map<unknown, { parent: unknown; label: string } | undefined>([[root, undefined]])
  const queue: unknown[] = [root]
  for (const value of queue) {
    if (typeof value !== 'object' || value === null) continue
    for (const [label, child] of children(value)) {
      const path = () => {
        const labels = [label]
        for (let step = seen.get(value); step; step = seen.get(step.parent)) labels.unshift(step.label)
        return labels
      }
      if (visit(child, path)) return
      if (typeof child !== 'object' || child === null || seen.has(child)) continue
      seen.set(child, { parent: value, label })
      queue.push(child)
    }
  }
}

/** What `test` says about the first value that it does not pass, and the labels on the way there. */
export function search<T>(
  root: unknown,
  test: (value: unknown) => T | undefined,
): { found: T; path: string[] } | undefined {
  let result: { found: T; path: string[] } | undefined
  visitValues(root, (value, path) => {
    const found = test(value)
    if (found !== undefined) result = { found, path: path() }
    return found !== undefined
  })
  return result
}

/** Whether a value is nothing but primitives, plain objects and arrays: then an import of it goes by value. */
export function isPlainData(value: unknown): boolean {
  return search(value, (each) => (isPlain(each) ? undefined : true)) === undefined
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'function') return false
  if (typeof value === 'symbol') return Symbol.keyFor(value) !== undefined
  if (typeof value !== 'object' || value === null) return true
  if (types.isProxy(value) || types.isModuleNamespaceObject(value)) return false
  if (Array.isArray(value))
    return Object.getPrototypeOf(Object.getPrototypeOf(value)) !== null && isBase(value)
  if (!isBase(value)) return false
  return Object.values(Object.getOwnPropertyDescriptors(value)).every((property) => 'value' in property)
}

/** A plain object or array, of this or another realm. */
function isBase(value: object): boolean {
  const proto: unknown = Object.getPrototypeOf(value)
  if (proto === null) return true
  const up: unknown = Object.getPrototypeOf(proto)
  if (Array.isArray(value)) return Array.isArray(proto)
  return up === null && Object.hasOwn(proto as object, 'isPrototypeOf')
}

/** What is wrong with this value itself (not with what it holds), or undefined. */
export function troubleOf(value: unknown): (Trouble & { label?: string }) | undefined {
  if (typeof value === 'symbol') return symbolTrouble(value)
  if (typeof value === 'function') return types.isProxy(value) ? hostObject('Proxy') : undefined
  if (typeof value !== 'object' || value === null) return undefined
  if (types.isProxy(value)) return hostObject('Proxy')
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  const host = HOST.find(([test]) => test(value, tag))
  if (host) {
    const trouble = hostObject(host[1] || tag)
    const kind = classOf(value)
    return kind && SUBCLASSED.has(host[1]) && !isNative(kind) ? exotic(kind, host[1]) : trouble
  }
  if (value === process || value === process.env) return processTrouble(value)
  const kind = classOf(value)
  if (!kind || isSupported(kind)) return undefined
  return instanceTrouble(kind)
}

function processTrouble(value: object): Trouble {
  return value === process
    ? {
        reason: 'NODE_OBJECT',
        what: 'the value is `process`, which every process has of its own',
        fix: 'write `process` inside the function for that of the worker, or capture what you need of it',
      }
    : {
        reason: 'NODE_OBJECT',
        what: 'the value is `process.env`, which every process has of its own',
        fix: 'write `process.env` inside the function for that of the worker, or capture a copy: { ...process.env }',
      }
}

/** User code derives classes from these; from the others only Node.js does. */
const SUBCLASSED = new Set(['Promise', 'WeakMap', 'WeakSet', 'SharedArrayBuffer'])

function symbolTrouble(value: symbol): Trouble | undefined {
  if (Symbol.keyFor(value) !== undefined || wellKnown.has(value)) return undefined
  return {
    reason: 'SYMBOL',
    what: `the value is ${String(value)}, and a symbol made by Symbol() is unique to this process`,
    fix: `use Symbol.for(${JSON.stringify(value.description ?? 'name')}), which is the same everywhere`,
  }
}

const wellKnown = new Set(
  Object.values(Object.getOwnPropertyDescriptors(Symbol)).flatMap(({ value }) =>
    typeof value === 'symbol' ? [value] : [],
  ),
)

const HOST_FIX: Record<string, string> = {
  Promise: 'await it before you capture it',
  Proxy: 'capture a plain copy, for example { ...value }',
  WeakMap: 'capture a Map with the entries that the function needs',
  WeakSet: 'capture a Set with the items that the function needs',
  WeakRef: 'capture the object itself (.deref())',
  SharedArrayBuffer: 'pass it as an argument on the local engine, or capture a copy of what it holds',
  Generator: 'collect it first: capture [...value]',
  AsyncGenerator: 'collect what it yields into an array first',
  KeyObject: 'capture key.export() and make the key again inside the function',
  CryptoKey: 'capture the exported key and import it again inside the function',
}

const HOST: [test: (value: object, tag: string) => boolean, name: string][] = [
  [(value) => types.isPromise(value), 'Promise'],
  [(value) => types.isWeakMap(value), 'WeakMap'],
  [(value) => types.isWeakSet(value), 'WeakSet'],
  [(value) => types.isSharedArrayBuffer(value), 'SharedArrayBuffer'],
  [(value) => types.isKeyObject?.(value) ?? false, 'KeyObject'],
  [(value) => types.isCryptoKey?.(value) ?? false, 'CryptoKey'],
  [(value, tag) => types.isGeneratorObject(value) && tag === 'AsyncGenerator', 'AsyncGenerator'],
  [(value) => types.isGeneratorObject(value), 'Generator'],
  [(value) => types.isExternal(value), 'External'],
  [(_, tag) => tag === 'WeakRef' || tag === 'FinalizationRegistry' || tag.endsWith(' Iterator'), ''],
]

function hostObject(name: string): Trouble {
  const fix =
    HOST_FIX[name] ??
    (name.endsWith('Iterator') ? 'collect it first: capture [...value]' : 'make it inside the function')
  return { reason: 'HOST_OBJECT', what: `the value is ${article(name)}, which cannot travel`, fix }
}

function exotic(kind: Callable, base: string): Trouble & { label: string } {
  return {
    reason: 'EXOTIC',
    what: `class ${kind.name} extends ${base}, whose instances cannot travel`,
    fix: 'make the object inside the function',
    label: `instance of ${kind.name}`,
  }
}

/** Why instances of a class cannot travel, or undefined when they can. */
export function instanceTrouble(kind: Callable): (Trouble & { label: string }) | undefined {
  const label = `instance of ${kind.name || '(anonymous class)'}`
  if (Object.hasOwn(kind, Symbol.for('dicomp.pack')) && Object.hasOwn(kind, Symbol.for('dicomp.unpack')))
    return undefined
  for (
    let each: unknown = kind;
    typeof each === 'function' && each !== Function.prototype;
    each = parent(each)
  ) {
    if (isNative(each) || knownFunction(each)) {
      if (isSupported(each) || (each.name === 'EventEmitter' && each !== kind)) return undefined
      return { ...nodeObject(kind), label }
    }
    const members = privateMembers(each)
    if (members.length > 0) {
      const what = `class ${each.name} has private members (${members.join(', ')}), whose values cannot be read from outside`
      const fix = `capture plain data, or give ${each.name} the static methods [pack] and [unpack]`
      return { reason: 'PRIVATE_FIELDS', what, fix, label }
    }
  }
  return undefined
}

/** An instance of a class of Node.js. */
export function nodeObject(kind: Callable): Trouble {
  const what = `the value is ${article(kind.name)} (an object of Node.js that is tied to this process)`
  return { reason: 'NODE_OBJECT', what, fix: 'open it inside the function, on the worker' }
}

/** The class above, also for constructors written as functions. */
function parent(kind: Callable): unknown {
  const up: unknown = Object.getPrototypeOf(kind)
  if (up !== Function.prototype) return up
  const proto: unknown = kind.prototype && Object.getPrototypeOf(kind.prototype)
  const made: unknown = proto ? Object.getOwnPropertyDescriptor(proto, 'constructor')?.value : undefined
  return made === Object ? undefined : made
}

const SUPPORTED = new Set<unknown>([
  Object,
  Array,
  Map,
  Set,
  Date,
  RegExp,
  Number,
  String,
  Boolean,
  ArrayBuffer,
  DataView,
  URL,
  URLSearchParams,
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
  Object.getPrototypeOf(Uint8Array),
  Buffer,
])

/** Builtin classes whose instances the codec sends. */
function isSupported(kind: Callable): boolean {
  if (SUPPORTED.has(kind)) return true
  // the same classes of another realm, and the typed arrays
  return (
    isNative(kind) &&
    (/^(?:\w+Array|BigInt|Symbol|DOMException)$/.test(kind.name) ||
      [...SUPPORTED].some((each) => (each as Callable).name === kind.name))
  )
}

function isNative(kind: Callable): boolean {
  return /\{\s*\[native code\]\s*\}$/.test(sourceOf(kind))
}

/** The class of an object by its nearest prototype. */
function classOf(value: object): Callable | undefined {
  for (let proto: unknown = Object.getPrototypeOf(value); proto; proto = Object.getPrototypeOf(proto)) {
    const made: unknown = Object.getOwnPropertyDescriptor(proto, 'constructor')?.value
    if (typeof made === 'function') return made
  }
  return undefined
}

/** Private instance members that a compiler lowered to a WeakMap. */
const LOWERED = /\b(?:__privateAdd|__privateGet|__privateSet|__privateMethod|__classPrivateField\w+)\(this\b/

/** Names of the private members that instances of a class carry (not those of its ancestors). */
export function privateMembers(kind: Callable): string[] {
  const text = sourceOf(kind)
  if (LOWERED.test(text)) return ['lowered by the compiler']
  if (!text.startsWith('class') || !text.includes('#')) return []
  try {
    const { node } = codeOf(text)
    if (node.type !== 'ClassExpression' && node.type !== 'ClassDeclaration') return []
    return node.body.body.flatMap((member: Node) => {
      if (
        !('key' in member) ||
        !('static' in member) ||
        member.static ||
        member.key.type !== 'PrivateIdentifier'
      )
        return []
      return [`#${member.key.name}`]
    })
  } catch {
    return []
  }
}

export function article(name: string): string {
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
