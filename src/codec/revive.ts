/** How everything that is neither a plain object nor a plain array is made again. */
import type { Decoder } from './decoder.ts'
import { isBuffer, isShared } from './kinds.ts'
import { BufferKind, DATA_VIEW, ERROR_NAMES, NODE_BUFFER, Tag, VIEWS } from './tags.ts'

type Construct = new (...args: unknown[]) => object
const globals = globalThis as unknown as Record<string, Construct | undefined>

/** Address space that the resizable buffers of one message may reserve, in bytes, and the least that each counts. */
const MAX_RESERVED = 2 ** 36
const LEAST_RESERVED = 2 ** 26

/** The value that `tag` begins, as an instance of `type` where there is one. No user constructor runs. */
export function readSpecial(input: Decoder, tag: number, type: Function | undefined): object {
  const make = (base: Function, ...args: unknown[]): object => Reflect.construct(base, args, type ?? base)
  switch (tag) {
    case Tag.MAP:
    case Tag.SET: {
      const value = input.register(make(tag === Tag.MAP ? Map : Set)) as Set<unknown>
      input.entries(value)
      return value
    }
    case Tag.LATER_ENTRIES: {
      const isMap = input.nextByte() === Tag.MAP
      const value = input.register(make(isMap ? Map : Set))
      input.later(value, 'entries')
      return value
    }
    case Tag.DATE:
      return input.register(make(Date, input.nextFloat64()))
    case Tag.REGEXP: {
      const number = input.reserveNumber()
      const value = make(RegExp, text(input), text(input)) as RegExp
      value.lastIndex = primitive(input) as number
      return input.settle(number, value)
    }
    case Tag.BOXED: {
      const number = input.reserveNumber()
      const value = primitive(input)
      if (typeof value === 'bigint' || typeof value === 'symbol') return input.settle(number, Object(value))
      const base = Object(value).constructor as Function
      if (value === undefined || value === null) break
      return input.settle(number, make(base, value))
    }
    case Tag.ERROR:
      return readError(input, type)
    case Tag.URL: {
      const number = input.reserveNumber()
      const href = primitive(input)
      return input.settle(number, href === null ? make(URLSearchParams, text(input)) : make(URL, href))
    }
    case Tag.BUFFER:
    case Tag.BUFFER_HERE:
      return readBuffer(input, tag)
    case Tag.VIEW:
      return readView(input, type)
  }
  throw input.failure('a byte means nothing')
}

function primitive(input: Decoder): unknown {
  const value = input.read()
  if (typeof value === 'object' && value !== null) throw input.failure('a primitive value should be here')
  return value
}

function text(input: Decoder): string {
  const value = input.read()
  if (typeof value !== 'string') throw input.failure('a string should be here')
  return value
}

function readError(input: Decoder, type: Function | undefined): object {
  const className = ERROR_NAMES[input.nextByte()]
  if (className === undefined) throw input.failure('a kind of error is not known here')
  const number = input.reserveNumber()
  const name = primitive(input)
  const isDom = className === 'DOMException'
  const args = isDom ? [text(input), text(input)] : className === 'AggregateError' ? [[]] : []
  const base = globals[className]
  const error = withoutStack(() => {
    if (base !== undefined) return Reflect.construct(base, args, type ?? base)
    const plain = new Error(isDom ? String(args[0]) : '')
    return Object.defineProperty(plain, 'name', {
      value: isDom ? args[1] : className,
      configurable: true,
      writable: true,
    })
  }) as Error
  // The properties that the constructor made; those of the message take their place, in their order.
  for (const key of Reflect.ownKeys(error)) if (key !== 'name') Reflect.deleteProperty(error, key)
  if (typeof name === 'string') {
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  }
  input.settle(number, error)
  input.props(input.nextByte(), error, true)
  return error
}

/** Runs `make` without the cost of collecting a stack, which the error brings along. */
function withoutStack<T>(make: () => T): T {
  const host = Error as { stackTraceLimit?: number }
  const limit = host.stackTraceLimit
  const can = Reflect.set(host, 'stackTraceLimit', 0)
  try {
    return make()
  } finally {
    if (can) Reflect.set(host, 'stackTraceLimit', limit)
  }
}

function readBuffer(input: Decoder, tag: number): ArrayBuffer | SharedArrayBuffer {
  const kind = input.nextByte()
  if (kind !== BufferKind.FIXED && kind !== BufferKind.RESIZABLE && kind !== BufferKind.SHARED) {
    throw input.failure('a kind of buffer is not known here')
  }
  const most = kind === BufferKind.RESIZABLE ? input.nextVarint() : undefined
  const store =
    tag === Tag.BUFFER
      ? input.attachments.take(input, input.nextVarint())
      : input.nextBytes(input.nextVarint()).buffer
  if (!(kind === BufferKind.SHARED ? isShared(store) : isBuffer(store))) {
    throw input.failure('an attachment is of the wrong kind')
  }
  const { resizable, maxByteLength } = store as { resizable?: boolean; maxByteLength?: number }
  if (most === undefined || (resizable === true && maxByteLength === most)) return input.register(store)
  input.reserveSpace(Math.max(most, LEAST_RESERVED), MAX_RESERVED)
  const copy = new (ArrayBuffer as unknown as Construct)(store.byteLength, {
    maxByteLength: most,
  }) as ArrayBuffer
  new Uint8Array(copy).set(new Uint8Array(store))
  return input.register(copy)
}

function readView(input: Decoder, type: Function | undefined): object {
  const number = input.reserveNumber()
  const kind = input.nextByte()
  const known = VIEWS[kind]
  if (known === undefined) throw input.failure('a kind of view is not known here')
  const store = input.read()
  if (typeof store !== 'object' || store === null) throw input.failure('a buffer should be here')
  const offset = input.nextVarint() - input.attachments.base(store)
  const head = input.nextVarint()
  const length = head === 0 ? undefined : head - 1
  if (kind === NODE_BUFFER) {
    const { Buffer } = globalThis as {
      Buffer?: { from(buffer: unknown, offset: number, length?: number): object }
    }
    if (Buffer !== undefined && isStore(store))
      return input.settle(number, Buffer.from(store, offset, length))
  }
  const name = kind === NODE_BUFFER ? 'Uint8Array' : known.name
  const base = kind === DATA_VIEW ? (DataView as unknown as Construct) : globals[name]
  if (base === undefined) throw input.failure(`this runtime has no ${name}, which the value contains`)
  if (!isStore(store)) throw input.failure('a buffer should be here')
  return input.settle(number, Reflect.construct(base, [store, offset, length], type ?? base))
}

function isStore(value: object): boolean {
  return isBuffer(value) || isShared(value)
}
