/** Arbitrary graphs of values with cycles and shared references, for fast-check. */
import fc from 'fast-check'

/** Primitives, the awkward ones among them. */
export const primitive: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: fc.integer() },
  fc.integer({ min: -300, max: 300 }),
  fc.double(),
  fc.constantFrom<unknown>(undefined, null, true, false, -0, Number.NaN, 2 ** 31, -(2 ** 31), 2 ** 53, ''),
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
  fc.string({ unit: 'binary', minLength: 40, maxLength: 120 }),
  fc.string({
    unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    maxLength: 100,
  }),
  fc.constantFrom('name', 'status', 'ok', 'é', '日本', '\ud800', 'x'.repeat(70)),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }),
  fc.constantFrom<unknown>(Symbol.for('a'), Symbol.for('ü'), Symbol.iterator, Symbol.toStringTag),
)

const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c', 'id', 'next', 'value') },
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toString',
    'length',
    '0',
    '7',
    '4294967295',
    '-1',
    '',
    'ключ',
    'k'.repeat(300),
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
)

/** A primitive, or the node with this number (modulo their count). */
type Child = { node: number } | { primitive: unknown }
const child: fc.Arbitrary<Child> = fc.oneof(
  { weight: 3, arbitrary: primitive.map((value) => ({ primitive: value })) },
  { weight: 4, arbitrary: fc.nat(1000).map((node) => ({ node })) },
)
const children = fc.array(child, { maxLength: 6 })
const properties = fc.array(fc.tuple(key, child), { maxLength: 6 })

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
] as const
const ERRORS = [Error, TypeError, RangeError, SyntaxError, EvalError, URIError, ReferenceError] as const

type Node =
  | { kind: 'object' | 'bare'; properties: [string, Child][]; symbol: Child | undefined }
  | { kind: 'array'; children: Child[]; holes: number[]; extra: [string, Child] | undefined }
  | { kind: 'numbers'; values: number[] }
  | { kind: 'map'; entries: [Child, Child][] }
  | { kind: 'set'; children: Child[] }
  | { kind: 'error'; type: number; message: string; cause: Child | undefined; properties: [string, Child][] }
  | { kind: 'aggregate'; children: Child[] }
  | { kind: 'date'; time: number }
  | { kind: 'regexp'; source: string; flags: string; lastIndex: number }
  | { kind: 'boxed'; value: number | string | boolean | bigint | symbol }
  | { kind: 'buffer'; bytes: Uint8Array; grown: boolean }
  | { kind: 'view'; type: number; buffer: Uint8Array; shares: number | undefined; offset: number }
  | { kind: 'url'; text: string }

const number = fc.oneof(fc.integer({ min: -300, max: 300 }), fc.integer(), fc.double(), fc.constant(-0))
const node: fc.Arbitrary<Node> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom('object' as const, 'object' as const, 'object' as const, 'bare' as const),
      properties,
      symbol: fc.option(child, { nil: undefined, freq: 5 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('array' as const),
      children,
      holes: fc.oneof(
        { weight: 4, arbitrary: fc.constant<number[]>([]) },
        fc.array(fc.nat(5), { maxLength: 3 }),
      ),
      extra: fc.option(fc.tuple(fc.constantFrom('index', 'groups', '-1', '01'), child), {
        nil: undefined,
        freq: 5,
      }),
    }),
  },
  fc.record({
    kind: fc.constant('numbers' as const),
    values: fc.oneof(
      fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 30, maxLength: 60 }),
      fc.array(fc.integer({ min: -32768, max: 32767 }), { minLength: 30, maxLength: 60 }),
      fc.array(fc.integer(), { minLength: 30, maxLength: 60 }),
      fc.array(number, { minLength: 30, maxLength: 60 }),
    ),
  }),
  fc.record({
    kind: fc.constant('map' as const),
    entries: fc.array(fc.tuple(child, child), { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('set' as const), children }),
  fc.record({
    kind: fc.constant('error' as const),
    type: fc.nat(ERRORS.length - 1),
    message: fc.string(),
    cause: fc.option(child, { nil: undefined }),
    properties,
  }),
  fc.record({ kind: fc.constant('aggregate' as const), children }),
  fc.record({ kind: fc.constant('date' as const), time: fc.oneof(fc.integer(), fc.constant(Number.NaN)) }),
  fc.record({
    kind: fc.constant('regexp' as const),
    source: fc.constantFrom('a+', '(?<n>x)/y', '[\\]"]', '', '\\n'),
    flags: fc.constantFrom('', 'g', 'imsuy'),
    lastIndex: fc.nat(10),
  }),
  fc.record({
    kind: fc.constant('boxed' as const),
    value: fc.oneof(
      fc.integer(),
      fc.double(),
      fc.string(),
      fc.boolean(),
      fc.bigInt(),
      fc.constant(Symbol.for('boxed')),
    ),
  }),
  fc.record({
    kind: fc.constant('buffer' as const),
    bytes: fc.uint8Array({ maxLength: 40 }),
    grown: fc.boolean(),
  }),
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('view' as const),
      type: fc.nat(VIEWS.length - 1),
      // Both below and above the size from which buffers travel apart.
      buffer: fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.constant(new Uint8Array(5000).fill(7))),
      shares: fc.option(fc.nat(1000), { nil: undefined }),
      offset: fc.nat(7),
    }),
  },
  fc.record({ kind: fc.constant('url' as const), text: fc.webUrl({ withQueryParameters: true }) }),
)

/** A value whose parts may be shared and may contain each other. */
export const graph: fc.Arbitrary<unknown> = fc
  .array(node, { minLength: 1, maxLength: 14 })
  .map((nodes) => ({ nodes, value: build(nodes) }))
  .map(({ value }) => value)

function build(nodes: Node[]): unknown {
  const made: unknown[] = []
  for (const each of nodes) made.push(hollow(each, made))
  const of = (each: Child): unknown => ('node' in each ? made[each.node % made.length] : each.primitive)
  nodes.forEach((each, index) => {
    fill(each, made[index] as never, of)
  })
  return made[0]
}

type ResizableConstructor = new (length: number, options: { maxByteLength: number }) => ArrayBuffer

function hollow(each: Node, made: unknown[]): unknown {
  switch (each.kind) {
    case 'object':
      return {}
    case 'bare':
      return Object.create(null)
    case 'array':
      return []
    case 'numbers':
      return [...each.values]
    case 'map':
      return new Map()
    case 'set':
      return new Set()
    case 'error':
      return new ERRORS[each.type]!(each.message)
    case 'aggregate':
      return new AggregateError([], 'several')
    case 'date':
      return new Date(each.time)
    case 'regexp': {
      const value = new RegExp(each.source, each.flags)
      value.lastIndex = each.lastIndex
      return value
    }
    case 'boxed':
      return Object(each.value)
    case 'buffer': {
      const { length } = each.bytes
      const buffer = each.grown
        ? new (ArrayBuffer as unknown as ResizableConstructor)(length, { maxByteLength: length + 100 })
        : new ArrayBuffer(length)
      new Uint8Array(buffer).set(each.bytes)
      return buffer
    }
    case 'view': {
      const buffers = made.flatMap((value) =>
        ArrayBuffer.isView(value) ? [value.buffer] : value instanceof ArrayBuffer ? [value] : [],
      )
      const other = each.shares === undefined ? undefined : buffers[each.shares % (buffers.length || 1)]
      const buffer = other ?? new Uint8Array(each.buffer).buffer
      const View = VIEWS[each.type] as typeof Uint8Array
      const size = 'BYTES_PER_ELEMENT' in View ? View.BYTES_PER_ELEMENT : 1
      const offset = Math.min(each.offset * size, buffer.byteLength - (buffer.byteLength % size))
      return new View(buffer as ArrayBuffer, offset, Math.floor((buffer.byteLength - offset) / size))
    }
    case 'url':
      return each.text.length % 2 === 0 ? new URL(each.text) : new URLSearchParams(new URL(each.text).search)
  }
}

function set(target: object, key: PropertyKey, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

function fill(each: Node, target: never, of: (child: Child) => unknown): void {
  switch (each.kind) {
    case 'object':
    case 'bare':
      for (const [name, value] of each.properties) set(target, name, of(value))
      if (each.symbol !== undefined) set(target, Symbol.for('extra'), of(each.symbol))
      return
    case 'array': {
      const array = target as unknown[]
      for (const value of each.children) array.push(of(value))
      for (const hole of each.holes) if (hole < array.length) delete array[hole]
      if (each.extra !== undefined) set(target, each.extra[0], of(each.extra[1]))
      return
    }
    case 'map':
      for (const [from, to] of each.entries) (target as Map<unknown, unknown>).set(of(from), of(to))
      return
    case 'set':
      for (const value of each.children) (target as Set<unknown>).add(of(value))
      return
    case 'error': {
      const hidden = { writable: true, enumerable: false, configurable: true }
      if (each.cause !== undefined)
        Object.defineProperty(target, 'cause', { value: of(each.cause), ...hidden })
      for (const [name, value] of each.properties) if (name !== 'stack') set(target, name, of(value))
      return
    }
    case 'aggregate':
      ;(target as AggregateError).errors.push(...each.children.map(of))
  }
}
