/** Whether two graphs are the same in everything that a program can see. */

/**
 * The first difference between two values, or undefined: types, prototypes, own keys in order, attributes, holes, -0,
 * internal data, and which references are one and the same object.
 */
export function difference(left: unknown, right: unknown): string | undefined {
  const pairs = new Map<object, object>()
  const back = new Map<object, object>()
  const stack: [unknown, unknown, string][] = [[left, right, 'value']]
  const views: Views = { pairs: new Map(), back: new Map(), shifts: new Map() }
  while (stack.length > 0) {
    const [a, b, path] = stack.pop()!
    if (!isObject(a) || !isObject(b)) {
      if (!Object.is(a, b)) return `${path}: ${show(a)} became ${show(b)}`
      continue
    }
    const pair = pairs.get(a)
    if (pair !== undefined || back.has(b)) {
      if (pair !== b || back.get(b) !== a) return `${path}: identity was lost`
      continue
    }
    pairs.set(a, b)
    back.set(b, a)
    if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return `${path}: another prototype`
    const what = content(a, b, path, stack, views) ?? properties(a, b, path, stack)
    if (what !== undefined) return `${path}: ${what}`
  }
  return undefined
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

type Stack = [unknown, unknown, string][]

/** Buffers behind views: which belong together, and how far the one's views moved against the other's. */
interface Views {
  pairs: Map<object, object>
  back: Map<object, object>
  shifts: Map<object, number>
}

function content(a: object, b: object, path: string, stack: Stack, views: Views): string | undefined {
  if (ArrayBuffer.isView(a)) {
    if (!ArrayBuffer.isView(b) || a.byteLength !== b.byteLength) return 'another length'
    if (bytesOf(a) !== bytesOf(b)) return 'other bytes'
    // Only the part of a buffer that views cover has to travel, but its views keep their distance.
    const shift = a.byteOffset - b.byteOffset
    if ((views.shifts.get(a.buffer) ?? shift) !== shift) return 'views of one buffer moved apart'
    views.shifts.set(a.buffer, shift)
    return sameBuffer(a.buffer, b.buffer, views)
  }
  if (a instanceof ArrayBuffer) {
    const x = a as ArrayBuffer & { resizable?: boolean; maxByteLength?: number }
    const y = b as ArrayBuffer & { resizable?: boolean; maxByteLength?: number }
    if (x.resizable !== y.resizable || x.maxByteLength !== y.maxByteLength) return 'another kind of buffer'
    if (bytesOf(new Uint8Array(x)) !== bytesOf(new Uint8Array(y))) return 'other bytes'
    return sameBuffer(a, b, views)
  }
  if (a instanceof Map) {
    const x = [...a]
    const y = [...(b as Map<unknown, unknown>)]
    if (x.length !== y.length) return 'another size'
    x.forEach(([key, value], i) => {
      stack.push([value, y[i]![1], `${path}<value ${i}>`], [key, y[i]![0], `${path}<key ${i}>`])
    })
  } else if (a instanceof Set) {
    const x = [...a]
    const y = [...(b as Set<unknown>)]
    if (x.length !== y.length) return 'another size'
    x.forEach((item, i) => {
      stack.push([item, y[i], `${path}<item ${i}>`])
    })
  } else if (a instanceof Date || isBoxed(a)) {
    if (!Object.is(a.valueOf(), b.valueOf())) return `${show(a.valueOf())} became ${show(b.valueOf())}`
  } else if (a instanceof RegExp || a instanceof URL || a instanceof URLSearchParams) {
    if (String(a) !== String(b)) return `${a} became ${b}`
  }
  return undefined
}

function sameBuffer(a: object, b: object, { pairs, back }: Views): string | undefined {
  if ((pairs.get(a) ?? b) !== b || (back.get(b) ?? a) !== a) return 'another buffer'
  pairs.set(a, b)
  back.set(b, a)
  return undefined
}

function isBoxed(value: object): boolean {
  return [Number, String, Boolean, BigInt, Symbol].some((box) => value instanceof box)
}

function properties(a: object, b: object, path: string, stack: Stack): string | undefined {
  if (ArrayBuffer.isView(a)) return undefined
  const skip = a instanceof URL || a instanceof URLSearchParams
  const x = Reflect.ownKeys(a).filter((key) => !(skip && typeof key === 'symbol'))
  const y = Reflect.ownKeys(b).filter((key) => !(skip && typeof key === 'symbol'))
  if (x.length !== y.length || x.some((key, i) => key !== y[i])) {
    return `keys ${x.map(String).join()} became ${y.map(String).join()}`
  }
  for (const key of x) {
    const p = Object.getOwnPropertyDescriptor(a, key)!
    const q = Object.getOwnPropertyDescriptor(b, key)!
    if (p.enumerable !== q.enumerable) return `${String(key)} is ${q.enumerable ? 'no longer' : ''} hidden`
    stack.push([
      (a as Record<PropertyKey, unknown>)[key],
      (b as Record<PropertyKey, unknown>)[key],
      `${path}.${String(key)}`,
    ])
  }
  return undefined
}

function bytesOf(view: ArrayBufferView): string {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex')
}

function show(value: unknown): string {
  if (Object.is(value, -0)) return '-0'
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
