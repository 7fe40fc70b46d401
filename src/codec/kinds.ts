/** Which builtin an object really is: by its internal slots, so that subclasses and other realms are seen through. */
import { ERROR_NAMES } from './tags.ts'

export type Kind =
  | 'plain'
  | 'array'
  | 'map'
  | 'set'
  | 'date'
  | 'regexp'
  | 'error'
  | 'boxed'
  | 'buffer'
  | 'shared'
  | 'view'
  | 'url'
  | 'params'
  | 'refused'

type Getter = (this: unknown) => unknown

function getter(proto: object | undefined, key: PropertyKey): Getter | undefined {
  return proto === undefined ? undefined : Object.getOwnPropertyDescriptor(proto, key)?.get
}

/** Whether `probe`, a builtin that throws for what lacks its internal slot, takes the value. */
function accepts(probe: Function | undefined, value: object, ...args: unknown[]): boolean {
  if (probe === undefined) return false
  try {
    probe.apply(value, args)
    return true
  } catch {
    return false
  }
}

const mapSize = getter(Map.prototype, 'size')
const setSize = getter(Set.prototype, 'size')
const bufferLength = getter(ArrayBuffer.prototype, 'byteLength')
const sharedLength =
  typeof SharedArrayBuffer === 'undefined' ? undefined : getter(SharedArrayBuffer.prototype, 'byteLength')
const regexpSource = getter(RegExp.prototype, 'global')
/** Name of the kind of a typed array, undefined for everything else. */
export const typedArrayName: Getter = getter(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!

const BOXES = [Number, String, Boolean, BigInt, Symbol].map((box) => box.prototype.valueOf as Function)

/** Whether it is an ArrayBuffer, of any realm. */
export function isBuffer(value: object): value is ArrayBuffer {
  return accepts(bufferLength, value)
}

/** Whether it is a SharedArrayBuffer, of any realm. */
export function isShared(value: object): value is SharedArrayBuffer {
  return accepts(sharedLength, value)
}

/** Names of builtins that `kindOf` looks for by the constructor names of the prototypes. */
const PROBES: Record<string, (value: object) => Kind | undefined> = {
  Map: (value) => (accepts(mapSize, value) ? 'map' : undefined),
  Set: (value) => (accepts(setSize, value) ? 'set' : undefined),
  Date: (value) => (accepts(Date.prototype.valueOf, value) ? 'date' : undefined),
  RegExp: (value) => (value !== RegExp.prototype && accepts(regexpSource, value) ? 'regexp' : undefined),
  ArrayBuffer: (value) => (isBuffer(value) ? 'buffer' : undefined),
  SharedArrayBuffer: (value) => (isShared(value) ? 'shared' : undefined),
  URL: (value) =>
    typeof URL === 'function' && accepts(getter(URL.prototype, 'href'), value) ? 'url' : undefined,
  URLSearchParams: (value) =>
    typeof URLSearchParams === 'function' && accepts(URLSearchParams.prototype.has, value, '')
      ? 'params'
      : undefined,
  DOMException: (value) =>
    typeof DOMException === 'function' && accepts(getter(DOMException.prototype, 'name'), value)
      ? 'error'
      : undefined,
}
for (const name of ERROR_NAMES) PROBES[name] ??= () => 'error'
for (const box of ['Number', 'String', 'Boolean', 'BigInt', 'Symbol']) {
  PROBES[box] = (value) => (BOXES.some((unbox) => accepts(unbox, value)) ? 'boxed' : undefined)
}

/** What the codec needs to know of a prototype; `kindOf` finds it once for each. */
export interface Plan {
  kind: Kind
  /** The prototype is the builtin's own (of this or another realm), so the object is no instance of a user class. */
  builtin: boolean
  /** The class whose `prototype` it is. */
  type: Function | undefined
}

const plans = new WeakMap<object, Plan>()

/** The plan for objects with this prototype. `value` is one of them, for probing. */
export function planOf(value: object, proto: object): Plan {
  const known = plans.get(proto)
  if (known !== undefined) return known
  const plan = makePlan(value, proto)
  // A fake (`Object.create(Map.prototype)`) must not decide for the real ones.
  if (plan.kind !== 'refused') plans.set(proto, plan)
  return plan
}

function makePlan(value: object, proto: object): Plan {
  const type = Object.getOwnPropertyDescriptor(proto, 'constructor')?.value
  const own = typeof type === 'function' && type.prototype === proto ? type : undefined
  if (Array.isArray(value)) return { kind: 'array', builtin: isNative(own, 'Array'), type: own }
  if (ArrayBuffer.isView(value)) {
    const name = typedArrayName.call(value) ?? 'DataView'
    const builtin = isNative(own, String(name)) || own === (globalThis as { Buffer?: Function }).Buffer
    return { kind: 'view', builtin, type: own }
  }
  for (let each: object | null = proto; each !== null; each = Object.getPrototypeOf(each)) {
    const made = Object.getOwnPropertyDescriptor(each, 'constructor')?.value
    if (typeof made !== 'function' || made.prototype !== each) continue
    const name = String(Object.getOwnPropertyDescriptor(made, 'name')?.value)
    if (!isNative(made, name)) continue
    if (Object.hasOwn(PROBES, name)) {
      const kind = PROBES[name]!(value) ?? 'refused'
      return { kind, builtin: each === proto, type: own }
    }
    if (name !== 'Object') return { kind: 'refused', builtin: each === proto, type: own }
    const foreign = each === proto && Object.getPrototypeOf(each) === null
    if (foreign) return { kind: 'plain', builtin: true, type: own }
  }
  return { kind: own === undefined ? 'refused' : 'plain', builtin: false, type: own }
}

function sourceOf(value: Function): string {
  return Function.prototype.toString.call(value)
}

/** Whether this is the engine's or the runtime's class of that name, of this or another realm. */
export function isNative(type: Function | undefined, name: string): boolean {
  if (type === undefined) return false
  // A global that a program made itself is enumerable; those of the runtime are not.
  if (Object.getOwnPropertyDescriptor(globalThis, name)?.enumerable === false) {
    if ((globalThis as Record<string, unknown>)[name] === type) return true
  }
  return (
    Object.getOwnPropertyDescriptor(type, 'name')?.value === name &&
    /\{\s*\[native code\]\s*\}$/.test(sourceOf(type))
  )
}
