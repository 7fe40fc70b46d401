/** How everything that is neither a plain object nor a plain array is written. */
import type { Encoder, Property } from './encoder.ts'
import { isBuffer, isNative, type Kind, type Plan, planOf, typedArrayName } from './kinds.ts'
import { pack, unpack } from './pack.ts'
import { Refusal, refusal } from './refuse.ts'
import { BufferKind, DATA_VIEW, ERROR_NAMES, NODE_BUFFER, Tag, travels, VIEWS } from './tags.ts'
import { isGiven } from './transfer.ts'

/** ArrayBuffers up to this size travel inside the bytes: an attachment of its own costs a message more than that. */
const HERE = 2048

const dateValue = Date.prototype.valueOf
const regexpFlags = Object.getOwnPropertyDescriptor(RegExp.prototype, 'flags')!.get!
const regexpSource = Object.getOwnPropertyDescriptor(RegExp.prototype, 'source')!.get!
const NodeBuffer = (globalThis as { Buffer?: { prototype: object; allocUnsafe(size: number): Uint8Array } })
  .Buffer
/** Size of the buffers that Node cuts small Buffers from; not quite `poolSize` in Node 26. */
const POOL = NodeBuffer?.allocUnsafe(1).buffer.byteLength

export function writeSpecial(out: Encoder, value: object, proto: object): void {
  const plan = planOf(value, proto)
  if (plan.kind === 'refused') throw refusal(value)
  const known = classIndex(out, plan)
  if (known === undefined) {
    // An error has to arrive whatever its class: it becomes the nearest builtin one and keeps its name.
    if (!plan.builtin && plan.kind !== 'error') throw refusal(value)
    writeBuiltin(out, value, plan, undefined)
    return
  }
  const type = plan.type as Function & { [pack]?: unknown; [unpack]?: unknown }
  if (typeof type[pack] === 'function') {
    writePacked(out, value, type, known)
    return
  }
  refusePrivate(value, type)
  writeBuiltin(out, value, plan, known)
}

/** Index of the object's class, where it has one that both ends know. */
function classIndex(out: Encoder, plan: Plan): number | undefined {
  return plan.builtin || plan.type === undefined ? undefined : out.entities?.indexOf(plan.type)
}

function writePacked(
  out: Encoder,
  value: object,
  type: Function & { [pack]?: unknown },
  index: number,
): void {
  if (typeof (type as { [unpack]?: unknown })[unpack] !== 'function') {
    throw new Refusal(
      value,
      `its class ${type.name} has a static [pack], but no static [unpack]`,
      'add static [unpack](plain), which makes the instance again',
    )
  }
  const plain: unknown = (type as unknown as { [pack](value: object): unknown })[pack](value)
  out.tagged(Tag.PACKED, index)
  out.packed(value, plain)
}

function writeBuiltin(out: Encoder, value: object, plan: Plan, index: number | undefined): void {
  const { kind } = plan
  if (kind === 'plain') {
    if (index === undefined) {
      out.plain(value as Record<string, unknown>)
      return
    }
    out.tagged(Tag.INSTANCE, index)
    out.properties(
      value,
      ownProperties(value, () => false),
    )
    return
  }
  if (kind === 'array' && index === undefined) {
    out.array(value as unknown[])
    return
  }
  // An error's properties are part of it; of the others only those that user code added.
  const props = kind === 'error' ? [] : ownProperties(value, SKIPPED[kind] ?? none)
  if (props.length > 0) out.byte(Tag.WITH_PROPS)
  if (index !== undefined) {
    out.tagged(Tag.INSTANCE, index)
  }
  writeContent(out, value, plan, index !== undefined)
  if (props.length > 0) out.properties(value, props)
}

function writeContent(out: Encoder, value: object, { kind, builtin }: Plan, known: boolean): void {
  switch (kind) {
    case 'array':
      out.content(value as unknown[])
      return
    case 'map':
    case 'set':
      out.entries(value as Set<unknown>, kind)
      return
    case 'date':
      out.byte(Tag.DATE)
      out.float64(dateValue.call(value))
      return
    case 'regexp':
      out.byte(Tag.REGEXP)
      out.write(regexpSource.call(value))
      out.write(regexpFlags.call(value))
      out.write((value as RegExp).lastIndex)
      return
    case 'error':
      writeError(out, value as Error, builtin || known)
      return
    case 'boxed':
      out.byte(Tag.BOXED)
      out.write(unbox(value))
      return
    case 'url':
      out.byte(Tag.URL)
      out.write((value as URL).href)
      return
    case 'params':
      out.byte(Tag.URL)
      out.write(null)
      out.write(String(value))
      return
    case 'buffer':
      writeBuffer(out, value as ArrayBuffer, true)
      return
    case 'shared':
      writeShared(out, value as unknown as SharedArrayBuffer)
      return
    case 'view':
      writeView(out, value as ArrayBufferView)
      return
    default:
      throw refusal(value)
  }
}

const none = (): boolean => false
const isElement = (key: string | symbol): boolean => typeof key === 'string' && /^(0|[1-9]\d*)$/.test(key)
const isArrayOwn = (key: string | symbol): boolean => key === 'length' || isElement(key)
/** Own keys of a builtin that belong to its content, or that the runtime put there. */
const SKIPPED: Partial<Record<Kind, (key: string | symbol) => boolean>> = {
  array: isArrayOwn,
  boxed: isArrayOwn,
  view: isElement,
  regexp: (key) => key === 'lastIndex',
  url: (key) => typeof key === 'symbol',
  params: (key) => typeof key === 'symbol',
}

/** Own properties, string- or portably symbol-keyed, hidden (non-enumerable) ones included. Never runs a getter. */
function ownProperties(value: object, skip: (key: string | symbol) => boolean): Property[] {
  // The keys of a plain typed array are its elements: listing them could take longer than everything else.
  if (ArrayBuffer.isView(value) && isBareView(value)) return []
  const props: Property[] = []
  for (const key of Reflect.ownKeys(value)) {
    if (skip(key) || (typeof key === 'symbol' && !travels(key))) continue
    const property = Object.getOwnPropertyDescriptor(value, key)!
    if (property.get !== undefined || property.set !== undefined) {
      throw new Refusal(
        value,
        `the property is an accessor (get/set) of an instance, which cannot travel`,
        'make it a method or an accessor of the class, or give the class static [pack] and [unpack]',
        typeof key === 'string' ? `.${key}` : `[${String(key)}]`,
      )
    }
    props.push({ key, value: property.value, hidden: property.enumerable !== true })
  }
  return props
}

function isBareView(value: ArrayBufferView): boolean {
  const proto = Object.getPrototypeOf(value)
  return proto === NodeBuffer?.prototype || planOf(value, proto).builtin
}

/** Class → its first private member, or that of a class it extends. Looked up for every instance, found once. */
const privateMembers = new WeakMap<Function, { owner: string; member: string } | undefined>()

/** A class with `#private` members would arrive without them, and fail at the first method that uses one. */
function refusePrivate(value: object, type: Function): void {
  if (!privateMembers.has(type)) privateMembers.set(type, privateMember(type))
  const found = privateMembers.get(type)
  if (found === undefined) return
  throw new Refusal(
    value,
    `its class ${found.owner} has private members (${found.member}), whose values cannot be read from outside`,
    `give ${found.owner} static [pack] and [unpack] methods, or pass plain data`,
  )
}

function privateMember(type: Function): { owner: string; member: string } | undefined {
  for (let each: unknown = type; typeof each === 'function'; each = Object.getPrototypeOf(each)) {
    if (isNative(each, each.name)) return undefined
    const member = privateName(Function.prototype.toString.call(each))
    if (member !== undefined) return { owner: each.name, member }
  }
  return undefined
}

/** A use of a private name in the text of a class, looked for outside comments and strings. */
function privateName(text: string): string | undefined {
  if (!text.includes('#')) return undefined
  const bare = text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g,
    ' ',
  )
  return /[.?]\s*(#[\p{ID_Start}$_][\p{ID_Continue}$]*)|(#[\p{ID_Start}$_][\p{ID_Continue}$]*)\s+in\b|[{};\s](#[\p{ID_Start}$_][\p{ID_Continue}$]*)\s*[=;(]/u
    .exec(bare)
    ?.slice(1)
    .find((name) => name !== undefined)
}

/** What JavaScriptCore puts on errors beside the standard properties. */
const ENGINE_KEYS = new Set(['line', 'column', 'sourceURL', 'originalLine', 'originalColumn'])

/**
 * Builtin class, the name to give it when its own class stays behind, then all own properties: message, stack, cause,
 * errors, code, …
 */
function writeError(out: Encoder, error: Error, keepsClass: boolean): void {
  const base = errorBase(error)
  out.byte(Tag.ERROR)
  out.byte(base)
  out.write(keepsClass || Object.hasOwn(error, 'name') ? undefined : nameOf(error, ERROR_NAMES[base]!))
  const props: Property[] = []
  if (ERROR_NAMES[base] === 'DOMException') {
    out.write(String(error.message))
    out.write(String(error.name))
  }
  for (const key of Reflect.ownKeys(error)) {
    if (typeof key === 'symbol' && !travels(key)) continue
    const property = Object.getOwnPropertyDescriptor(error, key)!
    const hidden = property.enumerable !== true
    if (hidden && typeof key === 'string' && ENGINE_KEYS.has(key)) continue
    // Newer engines make `stack` an accessor; anything else that would run code is left out.
    if (key === 'stack') {
      const { stack } = error
      if (typeof stack === 'string') props.push({ key, value: stack, hidden })
    } else if ('value' in property) props.push({ key, value: property.value, hidden })
  }
  if (typeof error.stack === 'string' && !props.some(({ key }) => key === 'stack')) {
    props.push({ key: 'stack', value: error.stack, hidden: true })
  }
  out.properties(error, props)
}

function nameOf(error: Error, base: string): string {
  const type = Object.getPrototypeOf(error)?.constructor
  return error.name !== base || typeof type !== 'function' ? String(error.name) : String(type.name)
}

function errorBase(error: Error): number {
  for (let proto = Object.getPrototypeOf(error); proto !== null; proto = Object.getPrototypeOf(proto)) {
    const type = proto.constructor
    if (typeof type !== 'function' || /^class\b/.test(Function.prototype.toString.call(type))) {
      if (type !== (globalThis as { DOMException?: Function }).DOMException) continue
    }
    const index = (ERROR_NAMES as readonly string[]).indexOf(type.name)
    if (index >= 0) return index
  }
  return 0
}

function unbox(value: object): unknown {
  for (const box of [Number, String, Boolean, BigInt, Symbol]) {
    let inner: unknown
    try {
      inner = (box.prototype.valueOf as Function).call(value)
    } catch {
      continue
    }
    if (typeof inner !== 'symbol' || travels(inner)) return inner
    const { what, fix } = refusal(inner)
    throw new Refusal(value, what, fix)
  }
  throw refusal(value)
}

interface Resizable {
  resizable?: boolean
  growable?: boolean
  maxByteLength?: number
  detached?: boolean
}

/** The buffer itself when `whole`; otherwise only what views cover of it. */
function writeBuffer(out: Encoder, buffer: ArrayBuffer, whole: boolean): void {
  if (isDetached(buffer)) {
    throw new Refusal(
      buffer,
      'its ArrayBuffer is detached: it was transferred before',
      'send a copy (.slice()), or send it without transfer()',
    )
  }
  const { resizable, maxByteLength } = buffer as ArrayBuffer & Resizable
  const kind = resizable === true ? BufferKind.RESIZABLE : BufferKind.FIXED
  if (buffer.byteLength <= HERE && !isGiven(buffer)) {
    out.byte(Tag.BUFFER_HERE)
    out.byte(kind)
    if (resizable === true) out.varint(maxByteLength ?? 0)
    out.varint(buffer.byteLength)
    out.raw(new Uint8Array(buffer))
    return
  }
  const index = out.attachments.add(buffer)
  if (whole || resizable === true) out.attachments.keep(buffer)
  out.byte(Tag.BUFFER)
  out.byte(kind)
  if (resizable === true) out.varint(maxByteLength ?? 0)
  out.varint(index)
}

function writeShared(out: Encoder, buffer: SharedArrayBuffer): void {
  if (!out.shared) {
    throw new Refusal(
      buffer,
      'it is a SharedArrayBuffer, and the other end is not a thread of this process',
      'use threads (isolation: "thread"), or pass a copy: new Uint8Array(shared).slice()',
    )
  }
  out.byte(Tag.BUFFER)
  out.byte(BufferKind.SHARED)
  out.varint(out.attachments.add(buffer))
}

/** Kind, buffer, offset, length + 1 (0: up to the end of a resizable buffer, whatever that is). */
function writeView(out: Encoder, view: ArrayBufferView): void {
  const { buffer } = view
  const isNodeBuffer =
    NodeBuffer !== undefined && view instanceof (NodeBuffer as unknown as typeof Uint8Array)
  const name = typedArrayName.call(view)
  const kind = isNodeBuffer
    ? NODE_BUFFER
    : name === undefined
      ? DATA_VIEW
      : VIEWS.findIndex((each) => each.name === name)
  out.byte(Tag.VIEW)
  out.byte(kind)
  if (isNodeBuffer && view.byteLength < buffer.byteLength && buffer.byteLength === POOL) {
    // Node's pool: its other bytes are not ours to send.
    out.register({})
    out.byte(Tag.BUFFER_HERE)
    out.byte(BufferKind.FIXED)
    out.varint(view.byteLength)
    out.raw(view as Buffer)
    out.varint(0)
    out.varint(view.byteLength + 1)
    return
  }
  const { resizable, growable } = buffer as ArrayBuffer & Resizable
  const elastic = resizable === true || growable === true
  if (!isBuffer(buffer)) out.object(buffer)
  else if (!out.seen(buffer)) {
    out.register(buffer)
    writeBuffer(out, buffer as ArrayBuffer, false)
  }
  const { byteOffset, byteLength } = view
  out.attachments.cover(buffer, byteOffset, byteOffset + byteLength)
  out.varint(byteOffset)
  const size = VIEWS[kind]!.size
  const open = elastic && byteOffset + byteLength === buffer.byteLength
  out.varint(open ? 0 : byteLength / size + 1)
}

function isDetached(buffer: ArrayBuffer): boolean {
  const { detached } = buffer as ArrayBuffer & Resizable
  if (detached !== undefined) return detached
  if (buffer.byteLength > 0) return false
  try {
    new Uint8Array(buffer)
    return false
  } catch {
    return true
  }
}
