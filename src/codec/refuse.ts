/** What is said about values that cannot travel. */
import { isNative } from './kinds.ts'

/** Thrown inside the encoder; `encode` turns it into an EncodeError with the path of `value`. */
export class Refusal {
  readonly value: unknown
  readonly what: string
  readonly fix: string
  /** Path from `value` on, where the trouble is in a part that has no identity (an accessor, a `[pack]` result). */
  readonly inside: string

  constructor(value: unknown, what: string, fix: string, inside = '') {
    this.value = value
    this.what = what
    this.fix = fix
    this.inside = inside
  }
}

interface Builtins {
  getBuiltinModule?(id: 'node:util'): { types: { isProxy(value: unknown): boolean } } | undefined
  getBuiltinModule?(id: string): Record<string, unknown> | undefined
}
const runtime = (globalThis as { process?: Builtins }).process

/** `util.types` where there is one; browsers cannot tell a proxy. */
const types = runtime?.getBuiltinModule?.('node:util')?.types

export const isProxy: (value: object) => boolean = types?.isProxy ?? (() => false)

/** Constructor name → the fix. Their instances are tied to the process that made them. */
const FIXES: Record<string, string> = {
  Promise: 'await it first, and pass what it resolves to',
  WeakMap: 'pass a Map with the entries that the other end needs',
  WeakSet: 'pass a Set with the items that the other end needs',
  WeakRef: 'pass the object itself (.deref())',
  FinalizationRegistry: 'make it inside the function, at the other end',
  AbortSignal: 'pass it as the `signal` option; inside a task use task.signal',
  AbortController: 'pass its signal as the `signal` option; inside a task use task.signal',
  EventTarget: 'make it inside the function, at the other end',
  MessagePort: 'return values, or report with task.progress(), instead of posting messages',
  KeyObject: 'export it first (.export()), and make it again at the other end',
  CryptoKey: 'export it first (crypto.subtle.exportKey), and import it again at the other end',
  Response: 'read it first (await response.json(), .text() or .arrayBuffer()), and pass what you need',
  Request: 'pass its url, method, headers and body as plain data',
  Headers: 'pass [...headers] and make it again at the other end',
  FormData: 'pass [...formData] and make it again at the other end',
  Blob: 'pass await blob.arrayBuffer()',
  File: 'pass await file.arrayBuffer() and its name',
}

/** Classes of Node.js and the web whose name says that they hold a connection, a file, a key or a timer. */
const TIED =
  /^(Socket|TLSSocket|Server|Agent|ClientRequest|IncomingMessage|ServerResponse|OutgoingMessage|ChildProcess|Worker|FileHandle|Dir|FSWatcher|StatWatcher|Timeout|Immediate|Interface|EventEmitter|BroadcastChannel|MessageChannel|WebSocket|Performance\w*|\w*(Stream|Readable|Writable|Transform|Duplex|Handle|Wrap|Cipher|Decipher|Hash|Hmac))$/

/** Those of them that no module exports, so that only the name is left to tell by. */
const INTERNAL = /^(Timeout|Immediate|FileHandle|FSWatcher|StatWatcher|\w+(Wrap|Handle))$/

/** Where Node.js exports the others. Looked through after a refusal only. */
const MODULES = [
  'net',
  'tls',
  'http',
  'stream',
  'fs',
  'events',
  'crypto',
  'worker_threads',
  'child_process',
  'readline',
  'zlib',
]

/** Whether a class is one of the runtime, and not a user's with the same name. */
function isOfRuntime(type: Function, name: string): boolean {
  if (isNative(type, name) || INTERNAL.test(name)) return true
  return MODULES.some((id) => runtime?.getBuiltinModule?.(`node:${id}`)?.[name] === type)
}

export function refusal(value: unknown): Refusal {
  if (typeof value === 'symbol') {
    return new Refusal(
      value,
      `the symbol ${String(value)} is unique to this process`,
      `use Symbol.for(${JSON.stringify(value.description ?? 'name')}), which is the same everywhere`,
    )
  }
  if (typeof value === 'function') return refuseFunction(value)
  return refuseObject(value as object)
}

function refuseFunction(value: Function): Refusal {
  if (isProxy(value)) return refuseProxy(value)
  const name = ownName(value) ?? '(anonymous)'
  if (/^class\b/.test(Function.prototype.toString.call(value))) {
    return new Refusal(
      value,
      `it is the class ${name}, which the other end does not know`,
      'use the class inside the distributed function, so that it travels with its code',
    )
  }
  return new Refusal(
    value,
    `it is the function ${name}, and a function is not data`,
    'call it inside the distributed function, so that it travels with its code',
  )
}

export function refuseProxy(value: object): Refusal {
  return new Refusal(
    value,
    'it is a Proxy, whose handler cannot travel',
    'pass a plain copy, for example { ...value }',
  )
}

function refuseObject(value: object): Refusal {
  const classes = classesOf(value)
  const name = classes[0]?.name
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (/ Iterator$|Generator$/.test(tag)) {
    return new Refusal(value, `it is a running ${tag}`, 'collect it first: pass [...value]')
  }
  for (const { type, name: each } of classes) {
    const fix = Object.hasOwn(FIXES, each) ? FIXES[each] : undefined
    if ((fix === undefined && !TIED.test(each)) || !isOfRuntime(type, each)) continue
    const is = each === name ? article(each) : `${article(name ?? each)} (a kind of ${each})`
    if (fix !== undefined) return new Refusal(value, `it is ${is}, which cannot travel`, fix)
    return new Refusal(
      value,
      `it is ${is}, tied to this process`,
      'open or make it inside the function, at the other end',
    )
  }
  if (name === undefined || name === 'Object') {
    return tag === 'Object'
      ? new Refusal(
          value,
          'it is an object whose prototype is another object',
          'pass a plain object, for example { ...value }',
        )
      : new Refusal(value, `it is the global ${tag}`, `use ${tag} inside the function`)
  }
  return new Refusal(
    value,
    `it is an instance of class ${name}, which the other end does not know`,
    `pass plain data, or use ${name} inside the distributed function, so that the class travels with its code`,
  )
}

/** The classes of an object, nearest first, without Object unless it is the only one. */
function classesOf(value: object): { type: Function; name: string }[] {
  const classes: { type: Function; name: string }[] = []
  for (let proto = Object.getPrototypeOf(value); proto !== null; proto = Object.getPrototypeOf(proto)) {
    const type = Object.getOwnPropertyDescriptor(proto, 'constructor')?.value
    if (typeof type !== 'function') continue
    const name = ownName(type) ?? '(anonymous)'
    if (name !== 'Object' || classes.length === 0) classes.push({ type, name })
  }
  return classes
}

function ownName(value: Function): string | undefined {
  const name = Object.getOwnPropertyDescriptor(value, 'name')?.value
  return typeof name === 'string' && name !== '' ? name : undefined
}

function article(name: string): string {
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
