import { AttachmentTable } from './attachments.ts'
import type { Encoded, EncodeOptions, Entities } from './index.ts'
import { packIntegers, packNumbers, widthOf } from './numbers.ts'
import { findPath } from './path.ts'
import { isProxy, Refusal, refusal, refuseProxy } from './refuse.ts'
import { type Shape, ShapeTable } from './shapes.ts'
import { writeSpecial } from './special.ts'
import {
  HAS_BASES,
  KNOWN_SYMBOLS,
  MAGIC,
  MAX_DEPTH,
  MAX_PACKED_DEPTH,
  MAX_SHAPE_KEYS,
  MAX_SHAPES,
  Tag,
  travels,
  VERSION,
} from './tags.ts'
import { Writer } from './writer.ts'

/** Up to this many objects are compared one by one; a Map costs more than that to begin with. */
const FEW = 12
/** All-number arrays from this length on travel as a block. */
const BLOCK = 32
/** Blocks of this many bytes and more are attachments of their own. */
const APART = 16 * 1024
/** Arrays of primitives longer than this are not searched for properties beside their elements. */
const SEARCHED = 1024

/** An own property that is written key by key. */
export interface Property {
  key: string | symbol
  value: unknown
  hidden: boolean
}

interface Later {
  target: object
  kind: 'plain' | 'props' | 'array' | 'map' | 'set'
  props?: Property[]
}

/** A point that a failed element of a list goes back to. */
interface Mark {
  pos: number
  objects: number
  shapes: number
  strings: number
  attachments: number
}

/** Writes one message. An instance is used again and again, and keeps what pays off the next time. */
export class Encoder extends Writer {
  readonly attachments = new AttachmentTable()
  entities: Entities | undefined
  shared = false
  #onDefined: EncodeOptions['onDefined']
  /** The objects of this message in order of first use; an object's number is its index. */
  readonly #objects: object[] = []
  readonly #numbers = new Map<object, number>()
  readonly #shapes = new ShapeTable()
  /** The shapes that this message defined, by their number. */
  readonly #defined: Shape[] = []
  #message = 0
  readonly #later: Later[] = []
  /** Instances whose `[pack]` result is being written. */
  readonly #packing: object[] = []
  #depth = 0
  /** Somebody put enumerable properties on Object.prototype: `for in` would see them in every object. */
  #polluted = false

  begin(options: EncodeOptions): void {
    this.rewind()
    this.#message++
    this.#shapes.trim()
    this.entities = options.entities
    this.shared = options.shared ?? false
    this.#onDefined = options.onDefined
    this.#polluted = false
    for (const _ in Object.prototype) this.#polluted = true
    this.byte(MAGIC)
    this.byte(VERSION)
  }

  /** Drops every reference to the values of the message. */
  end(): void {
    this.#objects.length = 0
    if (this.#numbers.size > 0) this.#numbers.clear()
    this.#defined.length = 0
    this.#later.length = 0
    this.#depth = 0
    this.#packing.length = 0
    this.entities = undefined
    this.#onDefined = undefined
    if (this.attachments.size > 0) this.attachments.truncate(0)
  }

  finish(): Encoded {
    if (this.attachments.size === 0) return { bytes: this.take(), attachments: [] }
    const { attachments, bases, transfer } = this.attachments.finish()
    if (bases.some((base) => base > 0)) {
      this.bytes[1] = VERSION | HAS_BASES
      const start = this.pos
      for (const base of bases) this.varint(base)
      this.reserve(4)
      this.view.setUint32(this.pos, this.pos - start, true)
      this.pos += 4
    }
    const encoded: Encoded = { bytes: this.take(), attachments }
    if (transfer.length > 0) encoded.transfer = transfer
    return encoded
  }

  /** A value that nothing is nested around, with everything that was put off in it. */
  root(value: unknown): void {
    this.write(value)
    for (let i = 0; i < this.#later.length; i++) {
      const { target, kind, props } = this.#later[i]!
      if (kind === 'plain') this.plain(target as Record<string, unknown>)
      else if (kind === 'props') this.properties(target, props!)
      else if (kind === 'array') this.#elements(target as unknown[])
      else this.entries(target as Map<unknown, unknown> | Set<unknown>, kind, true)
    }
    this.#later.length = 0
  }

  /** The head of a list: `count` calls of `root` follow. */
  list(count: number): void {
    this.tagged(Tag.LIST, count)
  }

  mark(): Mark {
    return {
      pos: this.pos,
      objects: this.#objects.length,
      shapes: this.#defined.length,
      strings: this.strings,
      attachments: this.attachments.size,
    }
  }

  /** Takes back everything since the mark, after a refusal. */
  backTo(mark: Mark): void {
    this.pos = mark.pos
    for (let i = mark.objects; i < this.#objects.length; i++) this.#numbers.delete(this.#objects[i]!)
    this.#objects.length = mark.objects
    for (let i = mark.shapes; i < this.#defined.length; i++) this.#defined[i]!.message = -1
    this.#defined.length = mark.shapes
    this.forgetStrings(mark.strings)
    this.attachments.truncate(mark.attachments)
    this.#later.length = 0
    this.#depth = 0
    this.#packing.length = 0
  }

  write(value: unknown): void {
    switch (typeof value) {
      case 'number':
        this.number(value)
        return
      case 'string':
        this.string(value)
        return
      case 'object':
        if (value === null) this.byte(Tag.NULL)
        else this.object(value)
        return
      case 'boolean':
        this.byte(value ? Tag.TRUE : Tag.FALSE)
        return
      case 'undefined':
        this.byte(Tag.UNDEFINED)
        return
      case 'bigint':
        this.bigint(value)
        return
      case 'symbol':
        this.symbol(value)
        return
      case 'function': {
        const index = isProxy(value) ? undefined : this.entities?.indexOf(value)
        if (index === undefined) throw refusal(value)
        this.tagged(Tag.ENTITY, index)
      }
    }
  }

  symbol(value: symbol): void {
    const key = Symbol.keyFor(value)
    const known = key === undefined ? KNOWN_SYMBOLS.indexOf(value) : -1
    if (key !== undefined) {
      this.byte(Tag.SYMBOL)
      this.string(key)
    } else if (known >= 0) {
      this.byte(Tag.KNOWN_SYMBOL)
      this.byte(known)
    } else throw refusal(value)
  }

  object(value: object): void {
    if (this.seen(value)) {
      if (this.attachments.size > 0) this.attachments.keep(value)
      return
    }
    this.register(value)
    if (isProxy(value)) throw refuseProxy(value)
    const proto = Object.getPrototypeOf(value)
    if (proto === Object.prototype) this.plain(value as Record<string, unknown>)
    else if (proto === Array.prototype && Array.isArray(value)) this.array(value)
    else if (proto === null) {
      this.byte(Tag.BARE_OBJECT)
      this.plain(value as Record<string, unknown>)
    } else writeSpecial(this, value, proto)
  }

  /** Gives the next number to an object (or to what stands for one). */
  register(value: object): void {
    const objects = this.#objects
    const count = objects.length
    objects.push(value)
    if (count > FEW) this.#numbers.set(value, count)
    else if (count === FEW) for (let i = 0; i <= count; i++) this.#numbers.set(objects[i]!, i)
  }

  /** Whether the content of a container has to wait, because it is nested too deeply. */
  #tooDeep(target: object): boolean {
    if (this.#depth < MAX_DEPTH) return false
    if (this.#packing.length === 0) return true
    if (this.#depth < MAX_PACKED_DEPTH) return false
    throw tooDeeplyPacked(target)
  }

  /** The own enumerable properties of an object without a class: their shape, then their values. */
  plain(value: Record<string, unknown>): void {
    if (this.#tooDeep(value)) {
      this.byte(Tag.LATER_PROPS)
      this.#later.push({ target: value, kind: 'plain' })
      return
    }
    const accessors = this.#onDefined === undefined ? undefined : this.#accessors(value)
    const symbols = Object.getOwnPropertySymbols(value)
    if (symbols.length > 0 || this.#polluted) {
      this.#keyed(plainProperties(value, symbols, accessors))
      return
    }
    let shape: Shape | undefined = this.#shapes.root
    for (const key in value) {
      const next: Shape | undefined = shape.next
      shape = next !== undefined && next.key === key ? next : this.#shapes.step(shape, key)
      if (shape === undefined) break
    }
    if (shape === undefined || !this.#shape(shape)) {
      this.#keyed(plainProperties(value, symbols, accessors))
      return
    }
    this.#depth++
    let left = shape.size
    for (const key in value) {
      left--
      const item = accessors?.has(key) ? undefined : value[key]
      if (typeof item === 'string') this.string(item)
      else if (typeof item === 'number') this.number(item)
      else this.write(item)
    }
    this.#depth--
    if (left !== 0) throw changed(value)
  }

  /** Reports an object with properties that are more than a key and a value. Returns the keys of its accessors. */
  #accessors(value: object): Set<string | symbol> | undefined {
    let found: Set<string | symbol> | undefined
    let hidden = false
    for (const key of Reflect.ownKeys(value)) {
      const { get, set, enumerable } = Object.getOwnPropertyDescriptor(value, key)!
      if (enumerable !== true) hidden = true
      if (get !== undefined || set !== undefined) found = (found ?? new Set()).add(key)
    }
    if (hidden || found !== undefined) this.#onDefined?.(value)
    return found
  }

  /** Names a shape, defining it at first. False when it cannot be defined. */
  #shape(shape: Shape): boolean {
    if (shape.message === this.#message) {
      if (shape.id < 32) this.byte(Tag.SHAPED + shape.id)
      else this.tagged(Tag.SHAPED_MANY, shape.id)
      return true
    }
    const definition = shape.definition
    if (definition === undefined || this.#defined.length === MAX_SHAPES) return false
    shape.message = this.#message
    shape.id = this.#defined.push(shape) - 1
    this.byte(Tag.NEW_SHAPE)
    this.raw(definition)
    return true
  }

  /** Properties of an instance, an error, or beside the content of a builtin. Any may be symbol-keyed or hidden. */
  properties(target: object, props: Property[]): void {
    if (this.#tooDeep(target)) {
      this.byte(Tag.LATER_PROPS)
      this.#later.push({ target, kind: 'props', props })
      return
    }
    let shape: Shape | undefined = props.length <= MAX_SHAPE_KEYS ? this.#shapes.root : undefined
    for (const { key, hidden } of props) {
      if (shape === undefined) break
      shape = typeof key === 'symbol' || hidden ? undefined : this.#shapes.step(shape, key)
    }
    if (shape === undefined || !this.#shape(shape)) {
      this.#keyed(props)
      return
    }
    this.#depth++
    for (const { value } of props) this.write(value)
    this.#depth--
  }

  #keyed(props: Property[]): void {
    this.tagged(Tag.KEYED, props.length)
    this.#depth++
    for (const { key, value, hidden } of props) {
      if (hidden) this.byte(Tag.HIDDEN)
      if (typeof key === 'string') this.string(key)
      else this.symbol(key)
      this.write(value)
    }
    this.#depth--
  }

  array(value: unknown[]): void {
    const extras = extrasOf(value)
    if (extras !== undefined) this.byte(Tag.WITH_PROPS)
    this.content(value)
    if (extras !== undefined) this.properties(value, extras)
  }

  /** The elements of an array, now or later. */
  content(value: unknown[]): void {
    if (this.#tooDeep(value)) {
      this.byte(Tag.LATER_ARRAY)
      this.#later.push({ target: value, kind: 'array' })
    } else this.#elements(value)
  }

  #elements(value: unknown[]): void {
    const count = value.length
    if (count >= BLOCK && typeof value[0] === 'number' && this.#block(value)) return
    for (let i = 0; i < count; i++) {
      if (value[i] === undefined && !Object.hasOwn(value, i)) {
        this.#sparse(value)
        return
      }
    }
    if (count < 16) this.byte(Tag.SHORT_ARRAY + count)
    else this.tagged(Tag.ARRAY, count)
    this.#depth++
    for (let i = 0; i < count; i++) {
      const item = value[i]
      if (typeof item === 'string') this.string(item)
      else if (typeof item === 'number') this.number(item)
      else this.write(item)
    }
    this.#depth--
  }

  #block(value: unknown[]): boolean {
    const width = widthOf(value)
    if (width === 0) return false
    const count = value.length
    const packed = width === 8 ? packNumbers(value, 0, count) : packIntegers(value as number[], width)
    // A getter among the elements can give a number first and something else then.
    if (packed === undefined) throw changed(value)
    const apart = count * width >= APART
    if (width === 8) this.byte(apart ? Tag.NUMBERS_APART : Tag.NUMBERS)
    else {
      this.byte(apart ? Tag.INTEGERS_APART : Tag.INTEGERS)
      this.byte(width)
    }
    if (apart) this.varint(this.attachments.add(packed.buffer as ArrayBuffer, true))
    else {
      this.varint(count)
      this.raw(new Uint8Array(packed.buffer))
    }
    return true
  }

  #sparse(value: unknown[]): void {
    const indices = Object.keys(value).filter(isIndex)
    this.tagged(Tag.SPARSE_ARRAY, value.length)
    this.varint(indices.length)
    this.#depth++
    for (const index of indices) {
      this.varint(Number(index))
      this.write(value[Number(index)])
    }
    this.#depth--
  }

  /** The entries of a Map or Set, now or later. */
  entries(value: Map<unknown, unknown> | Set<unknown>, kind: 'map' | 'set', head = false): void {
    const tag = kind === 'map' ? Tag.MAP : Tag.SET
    if (this.#tooDeep(value)) {
      this.byte(Tag.LATER_ENTRIES)
      this.byte(tag)
      this.#later.push({ target: value, kind })
      return
    }
    const size: number =
      kind === 'map' ? mapSize.call(value as Map<unknown, unknown>) : setSize.call(value as Set<unknown>)
    if (head) this.varint(size)
    else this.tagged(tag, size)
    this.#depth++
    let left = size
    // The builtin iteration, whatever a subclass made of its own.
    if (kind === 'map') {
      mapForEach.call(value as Map<unknown, unknown>, (item, key) => {
        left--
        this.write(key)
        this.write(item)
      })
    } else {
      setForEach.call(value as Set<unknown>, (item) => {
        left--
        this.write(item)
      })
    }
    this.#depth--
    if (left !== 0) throw changed(value)
  }

  /** What `[pack]` made of an instance. All of it has to be there before `[unpack]` can run: nothing in it waits. */
  packed(instance: object, plain: unknown): void {
    this.#packing.push(instance)
    this.#depth++
    if (this.#depth >= MAX_PACKED_DEPTH) throw tooDeeplyPacked(instance)
    try {
      this.write(plain)
    } catch (error) {
      // `plain` was made for the occasion: nobody can find it by walking the value again.
      const found = error instanceof Refusal ? findPath(plain, error, '[pack]()') : undefined
      if (found === undefined) throw error
      const { what, fix, inside } = error as Refusal
      throw new Refusal(instance, what, fix, found.path + inside)
    }
    this.#depth--
    this.#packing.pop()
  }

  /** Whether the object has a number in this message; if so, it is named by it. */
  seen(value: object): boolean {
    const objects = this.#objects
    const count = objects.length
    let number: number | undefined
    if (count > FEW) number = this.#numbers.get(value)
    else {
      for (let i = 0; i < count; i++) {
        if (objects[i] === value) {
          number = i
          break
        }
      }
    }
    if (number === undefined) return false
    if (this.#packing.length > 0 && this.#packing.includes(value)) {
      throw new Refusal(
        value,
        'what its static [pack] returned contains the instance itself',
        'let [pack] return only what [unpack] needs',
      )
    }
    this.tagged(Tag.SEEN_OBJECT, number)
    return true
  }
}

const mapForEach = Map.prototype.forEach
const setForEach = Set.prototype.forEach
const mapSize = Object.getOwnPropertyDescriptor(Map.prototype, 'size')!.get!
const setSize = Object.getOwnPropertyDescriptor(Set.prototype, 'size')!.get!

function tooDeeplyPacked(value: unknown): Refusal {
  return new Refusal(
    value,
    `it is nested more than ${MAX_PACKED_DEPTH} levels deep inside what a static [pack] returned`,
    'let [pack] return something flatter, for example an array instead of a linked list',
  )
}

function changed(value: unknown): Refusal {
  return new Refusal(value, 'it changed while it was read', 'do not change it in a getter')
}

function isIndex(key: string): boolean {
  const number = Number(key)
  return number >= 0 && number < 2 ** 32 - 1 && String(number >>> 0) === key
}

/** Own enumerable properties; of those with a symbol as key, the ones that the other end can name. */
function plainProperties(
  value: Record<string | symbol, unknown>,
  symbols: symbol[],
  accessors: Set<string | symbol> | undefined,
): Property[] {
  const read = (key: string | symbol) => (accessors?.has(key) ? undefined : value[key])
  const props: Property[] = Object.keys(value).map((key) => ({ key, value: read(key), hidden: false }))
  for (const key of symbols) {
    if (!travels(key) || !Object.prototype.propertyIsEnumerable.call(value, key)) continue
    props.push({ key, value: read(key), hidden: false })
  }
  const tag = Object.getOwnPropertyDescriptor(value, Symbol.toStringTag)
  if (props.length === 0 && tag !== undefined && !tag.enumerable) throw refusal(value)
  return props
}

/** Properties of an array beside its elements: `columns`, `index`, `groups`, … */
function extrasOf(value: unknown[]): Property[] | undefined {
  const count = value.length
  if (count > SEARCHED && typeof value[0] !== 'object') return undefined
  const keys = Object.keys(value)
  if (keys.length <= count && (keys.length === 0 || isIndex(keys[keys.length - 1]!))) return undefined
  const extras = keys.filter((key) => !isIndex(key))
  return extras.map((key) => ({
    key,
    value: (value as unknown as Record<string, unknown>)[key],
    hidden: false,
  }))
}
