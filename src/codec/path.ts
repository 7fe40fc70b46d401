/** Where in a value something is. Walked only after a refusal, in the order in which the encoder goes. */
import { planOf } from './kinds.ts'
import { pack } from './pack.ts'
import { isProxy } from './refuse.ts'
import { travels } from './tags.ts'

interface Step {
  value: unknown
  parent: Step | undefined
  how: 'key' | 'index' | 'mapKey' | 'mapValue' | 'item' | 'throws'
  /** The property, the index, or (for a value of a Map) its key. */
  at: unknown
}

export interface Found {
  path: string
  /** Reading this property threw. */
  threw?: { error: unknown }
}

/**
 * The path from `root` to the first place of `wanted`, for example `args[0].list[1].conn`. Without `wanted`, to the
 * first property that throws when it is read.
 */
export function findPath(
  root: unknown,
  wanted: { value: unknown } | undefined,
  name: string,
): Found | undefined {
  const seen = new Set<object>()
  const stack: Step[] = [{ value: root, parent: undefined, how: 'key', at: name }]
  while (stack.length > 0) {
    const step = stack.pop()!
    if (step.how === 'throws') {
      if (wanted === undefined) return { path: format(step, name), threw: { error: step.value } }
      continue
    }
    const { value } = step
    if (wanted !== undefined && value === wanted.value) return { path: format(step, name) }
    if (typeof value !== 'object' || value === null || seen.has(value) || isProxy(value)) continue
    seen.add(value)
    const children = childrenOf(step, value)
    for (let i = children.length - 1; i >= 0; i--) stack.push(children[i]!)
  }
  return undefined
}

function childrenOf(parent: Step, value: object): Step[] {
  const steps: Step[] = []
  const add = (how: Step['how'], at: unknown, child: unknown): void => {
    steps.push({ value: child, parent, how, at })
  }
  const proto = Object.getPrototypeOf(value)
  const plan = proto === null || proto === Object.prototype ? undefined : planOf(value, proto)
  if (plan?.kind === 'refused') return steps
  // What [pack] returns is made anew each time: the encoder names the place inside it itself.
  if (plan !== undefined && !plan.builtin && pack in (plan.type ?? {})) return steps
  if (plan?.kind === 'map') {
    let index = 0
    for (const [key, item] of Map.prototype.entries.call(value)) {
      add('mapKey', index++, key)
      add('mapValue', [key, index - 1], item)
    }
  } else if (plan?.kind === 'set') {
    let index = 0
    for (const item of Set.prototype.values.call(value)) add('item', index++, item)
  } else if (ArrayBuffer.isView(value)) {
    add('key', 'buffer', value.buffer)
    return steps
  }
  const isArray = Array.isArray(value)
  const keys: (string | symbol)[] =
    plan === undefined || isArray ? Object.keys(value) : Reflect.ownKeys(value)
  if (plan === undefined) keys.push(...Object.getOwnPropertySymbols(value).filter(travels))
  for (const key of keys) {
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property === undefined) continue
    const how = isArray && typeof key === 'string' && /^\d+$/.test(key) ? 'index' : 'key'
    if ('value' in property) add(how, key, property.value)
    else if (plan === undefined || isArray) {
      try {
        add(how, key, (value as Record<PropertyKey, unknown>)[key])
      } catch (error) {
        steps.push({
          value: error,
          parent: { value: undefined, parent, how, at: key },
          how: 'throws',
          at: key,
        })
      }
    }
  }
  return steps
}

function format(step: Step, name: string): string {
  const parts: string[] = []
  for (let each: Step | undefined = step; each?.parent !== undefined; each = each.parent) {
    if (each.how !== 'throws') parts.unshift(part(each))
  }
  return name + parts.join('')
}

function part({ how, at }: Step): string {
  if (how === 'index') return `[${String(at)}]`
  if (how === 'item') return `<item ${String(at)}>`
  if (how === 'mapKey') return `<key ${String(at)}>`
  if (how === 'mapValue') {
    const [key, index] = at as [unknown, number]
    return `.get(${typeof key === 'object' || typeof key === 'function' ? `<key ${index}>` : literal(key)})`
  }
  return member(at as string | symbol)
}

/** `.name`, `["odd name"]` or `[Symbol.for("x")]`. */
export function member(key: string | symbol): string {
  if (typeof key === 'string' && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key)) return `.${key}`
  return `[${literal(key)}]`
}

function literal(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'symbol') {
    const key = Symbol.keyFor(value)
    return key === undefined ? String(value) : `Symbol.for(${JSON.stringify(key)})`
  }
  return Object.is(value, -0) ? '-0' : String(value)
}
