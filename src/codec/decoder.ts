import { DecodeError } from '../errors.ts'
import { AttachmentReader } from './attached.ts'
import type { DecodeOptions, Encoded } from './index.ts'
import { type KnownShape, knownShape } from './known.ts'
import { unpack } from './pack.ts'
import { Reader } from './reader.ts'
import { readSpecial } from './revive.ts'
import { HAS_BASES, KNOWN_SYMBOLS, MAGIC, MAX_PACKED_DEPTH, MAX_SHAPES, Tag, VERSION } from './tags.ts'

/** Containers may be nested this deep before their content comes later; a little more than the encoder uses. */
const MAX_NESTING = MAX_PACKED_DEPTH + 8
/** Longest array that is made at once; a longer one would begin as a hash table. */
const MAX_PREALLOCATED = 16 * 1024 * 1024
/** Stands for an object that is not made yet. */
const PENDING = Symbol('pending')

const NO_OPTIONS: DecodeOptions = {}

type Kind = 'props' | 'array' | 'entries'

/** What a static `[unpack]` threw: the user's error, not ours. */
export class UnpackFailure {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** Reads one message. */
export class Decoder extends Reader {
  readonly attachments = new AttachmentReader()
  #options: DecodeOptions = NO_OPTIONS
  /** Objects by their number. */
  #objects: unknown[] = []
  #shapes: KnownShape[] = []
  #later: { target: object; kind: Kind; define: boolean }[] = []
  #depth = 0
  /** Elements that may still be declared: each takes a byte at least, so no honest message declares more than it has. */
  #budget = 0
  #reserved = 0

  begin(encoded: Encoded, options: DecodeOptions): void {
    const { bytes } = encoded
    // A Buffer is a Uint8Array whose slice() does not copy: what was decoded would share its pool.
    const isPlain = bytes.constructor === Uint8Array
    this.open(isPlain ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    this.#options = options
    this.#budget = this.end
    this.#reserved = 0
    if (this.end < 3 || this.byte() !== MAGIC) throw this.fail('the first byte is wrong')
    const head = this.byte()
    if ((head & 15) !== VERSION || (head & ~(15 | HAS_BASES)) !== 0) {
      throw new DecodeError(
        `The value was encoded by another version of dicomp (format ${head & 15}, this one reads ${VERSION})`,
      )
    }
    const bases = (head & HAS_BASES) === 0 ? undefined : this.#bases(encoded.attachments.length)
    this.attachments.open(encoded.attachments, bases)
  }

  finish(): void {
    this.close()
    this.#options = NO_OPTIONS
    if (this.#objects.length > 0) this.#objects = []
    if (this.#shapes.length > 0) this.#shapes = []
    if (this.#later.length > 0) this.#later = []
    this.#depth = 0
    this.attachments.close()
  }

  /** Where the attachments began in their buffers: a table at the end. */
  #bases(count: number): number[] {
    if (this.end < 8) throw this.fail('the end comes too early')
    const size = this.view.getUint32(this.end - 4, true)
    const start = this.end - 4 - size
    if (start < 2) throw this.fail('the table of attachments is damaged')
    const back = this.pos
    this.pos = start
    this.end -= 4
    const bases: number[] = []
    for (let i = 0; i < count; i++) bases.push(this.varint())
    if (this.pos !== this.end) throw this.fail('the table of attachments is damaged')
    this.pos = back
    this.end = start
    return bases
  }

  message(): unknown {
    let value: unknown
    if (this.bytes[this.pos] === Tag.LIST) {
      this.pos++
      const count = this.count(this.varint())
      const list: unknown[] = []
      for (let i = 0; i < count; i++) list.push(this.#root())
      value = list
    } else value = this.#root()
    if (this.pos !== this.end) throw this.fail('something follows the value')
    return value
  }

  #root(): unknown {
    const value = this.read()
    for (let i = 0; i < this.#later.length; i++) {
      const { target, kind, define } = this.#later[i]!
      if (kind === 'props') this.props(this.byte(), target, define)
      else if (kind === 'array') this.elements(this.byte(), target as unknown[])
      else this.entries(target as Map<unknown, unknown> | Set<unknown>)
    }
    if (this.#later.length > 0) this.#later = []
    return value
  }

  /** Checks a declared number of elements against what the message can hold. */
  count(declared: number): number {
    this.#budget -= declared
    if (this.#budget < 0) throw this.fail('more elements are announced than there are bytes')
    return declared
  }

  /** Gives the next number to an object. */
  register<T extends object>(value: T): T {
    this.#objects.push(value)
    return value
  }

  /** Reserves a number for an object that is made after its parts; `settle` fills it. */
  reserveNumber(): number {
    return this.#objects.push(PENDING) - 1
  }

  settle<T extends object>(number: number, value: T): T {
    this.#objects[number] = value
    return value
  }

  classAt(): Function {
    const index = this.varint()
    const value = this.#options.entities?.at(index)
    if (typeof value !== 'function') throw this.fail(`function or class ${index} is not known here`)
    return value
  }

  read(): unknown {
    const tag = this.byte()
    if (tag < Tag.SHORT_STRING) return tag
    if (tag < Tag.SHAPED) return this.string(tag)
    if (tag < Tag.SHORT_ARRAY) return this.#plain(tag)
    if (tag < Tag.UNDEFINED) return this.#array(tag)
    switch (tag) {
      case Tag.UNDEFINED:
        return undefined
      case Tag.NULL:
        return null
      case Tag.TRUE:
        return true
      case Tag.FALSE:
        return false
      case Tag.NEGATIVE:
        return -1 - this.byte()
      case Tag.INT16:
        this.need(2)
        this.pos += 2
        return this.view.getInt16(this.pos - 2, true)
      case Tag.INT32:
        this.need(4)
        this.pos += 4
        return this.view.getInt32(this.pos - 4, true)
      case Tag.FLOAT64:
        return this.float64()
      case Tag.STRING:
      case Tag.LONG_STRING:
      case Tag.UTF8_STRING:
      case Tag.UTF16_STRING:
      case Tag.SHORT_UTF8_STRING:
      case Tag.SEEN_STRING:
        return this.string(tag)
      case Tag.SEEN_OBJECT: {
        const value = this.#objects[this.varint()]
        if (value === undefined || value === PENDING) throw this.fail('an object that was not there is named')
        return value
      }
      case Tag.SHAPED_MANY:
      case Tag.NEW_SHAPE:
      case Tag.KEYED:
      case Tag.LATER_PROPS:
        return this.#plain(tag)
      case Tag.BARE_OBJECT: {
        const value = this.register(Object.create(null) as object)
        this.props(this.byte(), value, false)
        return value
      }
      case Tag.ARRAY:
      case Tag.SPARSE_ARRAY:
      case Tag.NUMBERS:
      case Tag.INTEGERS:
      case Tag.NUMBERS_APART:
      case Tag.INTEGERS_APART:
      case Tag.LATER_ARRAY:
        return this.#array(tag)
      case Tag.BIGINT64:
        this.need(8)
        this.pos += 8
        return this.view.getBigInt64(this.pos - 8, true)
      case Tag.BIGINT:
        return this.bigint()
      case Tag.SYMBOL:
      case Tag.KNOWN_SYMBOL:
        return this.#symbol(tag)
      case Tag.ENTITY:
        return this.classAt()
      case Tag.INSTANCE:
        return this.#instance()
      case Tag.PACKED:
        return this.#packed()
      case Tag.WITH_PROPS: {
        this.#enter()
        const value = this.read()
        this.#depth--
        if (typeof value !== 'object' || value === null) throw this.fail('an object should be here')
        this.props(this.byte(), value, true)
        return value
      }
      default: {
        this.#enter()
        const value = readSpecial(this, tag, undefined)
        this.#depth--
        return value
      }
    }
  }

  #enter(): void {
    if (++this.#depth > MAX_NESTING) throw this.fail('containers are nested too deeply')
  }

  #plain(tag: number): object {
    const value = {}
    this.#objects.push(value)
    this.props(tag, value, false)
    return value
  }

  /** Properties of `target`, begun by `tag`. With `define`, nothing that its class inherits is called or shadowed. */
  props(tag: number, target: object, define: boolean): void {
    if (tag === Tag.LATER_PROPS) {
      this.#later.push({ target, kind: 'props', define })
      return
    }
    this.#enter()
    const shape = this.#shape(tag)
    if (shape === undefined) this.#keyed(target)
    else {
      const { keys } = shape
      const record = target as Record<string, unknown>
      if (define || !shape.safe)
        for (let i = 0; i < keys.length; i++) setOwn(record, keys[i]!, this.read(), false)
      else for (let i = 0; i < keys.length; i++) record[keys[i]!] = this.read()
    }
    this.#depth--
  }

  #shape(tag: number): KnownShape | undefined {
    let shape: KnownShape | undefined
    if (tag >= Tag.SHAPED && tag < Tag.SHORT_ARRAY) shape = this.#shapes[tag - Tag.SHAPED]
    else if (tag === Tag.SHAPED_MANY) shape = this.#shapes[this.varint()]
    else if (tag === Tag.NEW_SHAPE) {
      const size = this.byte() | (this.byte() << 8)
      this.need(size)
      shape = knownShape(this.bytes, this.pos, this.pos + size)
      if (shape === undefined || this.#shapes.push(shape) > MAX_SHAPES)
        throw this.fail('a list of keys is damaged')
      this.pos += size
    } else if (tag === Tag.KEYED) return undefined
    if (shape === undefined) throw this.fail('properties should be here')
    this.count(shape.keys.length)
    return shape
  }

  #keyed(target: object): void {
    const count = this.count(this.varint())
    for (let i = 0; i < count; i++) {
      let tag = this.byte()
      const hidden = tag === Tag.HIDDEN
      if (hidden) tag = this.byte()
      const key = tag === Tag.SYMBOL || tag === Tag.KNOWN_SYMBOL ? this.#symbol(tag) : this.string(tag)
      setOwn(target, key, this.read(), hidden)
    }
  }

  #symbol(tag: number): symbol {
    if (tag === Tag.SYMBOL) return Symbol.for(this.string(this.byte()))
    const value = KNOWN_SYMBOLS[this.byte()]
    if (value === undefined) throw this.fail('a symbol is not known here')
    return value
  }

  #array(tag: number): unknown[] {
    const direct = tag < Tag.UNDEFINED || tag === Tag.ARRAY
    if (!direct) return this.elements(tag, this.register([]))
    const count = this.count(tag === Tag.ARRAY ? this.varint() : tag - Tag.SHORT_ARRAY)
    this.#enter()
    const array: unknown[] = count > MAX_PREALLOCATED ? [] : new Array(count)
    this.#objects.push(array)
    for (let i = 0; i < count; i++) array[i] = this.read()
    this.#depth--
    return array
  }

  /** The elements of an empty array, begun by `tag`. */
  elements(tag: number, array: unknown[]): unknown[] {
    if (tag === Tag.LATER_ARRAY) {
      this.#later.push({ target: array, kind: 'array', define: false })
      return array
    }
    if (tag === Tag.SPARSE_ARRAY) return this.#sparse(array)
    if ((tag >= Tag.SHORT_ARRAY && tag < Tag.UNDEFINED) || tag === Tag.ARRAY) {
      const count = this.count(tag === Tag.ARRAY ? this.varint() : tag - Tag.SHORT_ARRAY)
      this.#enter()
      for (let i = 0; i < count; i++) array[i] = this.read()
      this.#depth--
      return array
    }
    const block = this.#block(tag)
    if (block.length <= MAX_PREALLOCATED) array.length = block.length
    for (let i = 0; i < block.length; i++) array[i] = block[i]
    return array
  }

  #block(tag: number): ArrayLike<number> {
    const integers = tag === Tag.INTEGERS || tag === Tag.INTEGERS_APART
    if (!integers && tag !== Tag.NUMBERS && tag !== Tag.NUMBERS_APART)
      throw this.fail('an array should be here')
    const width = integers ? this.byte() : 8
    if (width !== 1 && width !== 2 && width !== 4 && width !== 8) throw this.fail('a width is wrong')
    const apart = tag === Tag.NUMBERS_APART || tag === Tag.INTEGERS_APART
    let bytes: Uint8Array
    if (apart) bytes = this.attachments.bytes(this, this.varint())
    else {
      const size = this.varint() * width
      this.need(size)
      bytes = this.bytes.slice(this.pos, this.pos + size)
      this.pos += size
    }
    const length = bytes.length / width
    if (!Number.isInteger(length)) throw this.fail('a block of numbers has a broken size')
    if (width === 1) return bytes
    if (width === 2) return new Int16Array(bytes.buffer, bytes.byteOffset, length)
    if (width === 4) return new Int32Array(bytes.buffer, bytes.byteOffset, length)
    return new Float64Array(bytes.buffer, bytes.byteOffset, length)
  }

  #sparse(array: unknown[]): unknown[] {
    const length = this.varint()
    const count = this.count(this.varint())
    if (length >= 2 ** 32) throw this.fail('an array is too long')
    // From the largest length down, so that the engine takes a hash table and no memory for the holes.
    if (length > 1024 + count * 8) array.length = 2 ** 32 - 1
    array.length = length
    this.#enter()
    for (let i = 0; i < count; i++) {
      const index = this.varint()
      if (index >= length) throw this.fail('an element is past the end of its array')
      array[index] = this.read()
    }
    this.#depth--
    return array
  }

  /** The entries of an empty Map or Set. */
  entries(target: Map<unknown, unknown> | Set<unknown>): void {
    const count = this.count(this.varint())
    this.#enter()
    if (target instanceof Map) {
      for (let i = 0; i < count; i++) {
        const key = this.read()
        mapSet.call(target, key, this.read())
      }
    } else {
      for (let i = 0; i < count; i++) setAdd.call(target as Set<unknown>, this.read())
    }
    this.#depth--
    const size = target instanceof Map ? mapSize.call(target) : setSize.call(target)
    if (size !== count) throw this.fail('a Map or Set has the same key twice')
  }

  later(target: object, kind: Kind): void {
    this.#later.push({ target, kind, define: true })
  }

  #instance(): object {
    const type = this.classAt()
    const tag = this.byte()
    if ((tag >= Tag.SHORT_ARRAY && tag < Tag.UNDEFINED) || isArrayTag(tag)) {
      return this.elements(tag, this.register(Reflect.construct(Array, [], type) as unknown[]))
    }
    const isProps = tag >= Tag.SHAPED && tag < Tag.SHORT_ARRAY
    if (
      isProps ||
      tag === Tag.SHAPED_MANY ||
      tag === Tag.NEW_SHAPE ||
      tag === Tag.KEYED ||
      tag === Tag.LATER_PROPS
    ) {
      const value = this.register(Object.create(type.prototype) as object)
      this.props(tag, value, true)
      return value
    }
    this.#enter()
    const value = readSpecial(this, tag, type)
    this.#depth--
    return value
  }

  #packed(): unknown {
    const type = this.classAt() as Function & { [unpack]?(plain: unknown): unknown }
    const number = this.reserveNumber()
    this.#enter()
    const plain = this.read()
    this.#depth--
    if (typeof type[unpack] !== 'function') throw this.fail(`class ${type.name} has no static [unpack]`)
    let value: unknown
    try {
      value = type[unpack](plain)
    } catch (error) {
      throw new UnpackFailure(error)
    }
    this.#objects[number] = value
    return value
  }

  /** Counts address space that resizable buffers reserve. */
  reserveSpace(size: number, most: number): void {
    this.#reserved += size
    if (this.#reserved > most) throw this.fail('resizable buffers reserve too much')
  }

  // What revive.ts reads with.
  nextByte(): number {
    return this.byte()
  }
  nextVarint(): number {
    return this.varint()
  }
  nextFloat64(): number {
    return this.float64()
  }
  nextBytes(size: number): Uint8Array<ArrayBuffer> {
    this.need(size)
    this.pos += size
    return this.bytes.slice(this.pos - size, this.pos) as Uint8Array<ArrayBuffer>
  }
  failure(what: string): DecodeError {
    return this.fail(what)
  }
}

const mapSet = Map.prototype.set
const setAdd = Set.prototype.add
const mapSize = Object.getOwnPropertyDescriptor(Map.prototype, 'size')!.get!
const setSize = Object.getOwnPropertyDescriptor(Set.prototype, 'size')!.get!

function isArrayTag(tag: number): boolean {
  return (tag >= Tag.ARRAY && tag <= Tag.INTEGERS_APART) || tag === Tag.LATER_ARRAY
}

/** Makes an own property, whatever the prototype has under that key. */
function setOwn(target: object, key: string | symbol, value: unknown, hidden: boolean): void {
  if (!hidden && !(key in target)) (target as Record<PropertyKey, unknown>)[key] = value
  else Object.defineProperty(target, key, { value, writable: true, enumerable: !hidden, configurable: true })
}
