/** What is said about values that cannot travel. */

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

interface UtilTypes {
  isProxy(value: unknown): boolean
}

/** `util.types` where there is one; browsers cannot tell a proxy. */
const types: UtilTypes | undefined = (
  globalThis as { process?: { getBuiltinModule?(id: string): { types: UtilTypes } | undefined } }
).process?.getBuiltinModule?.('node:util')?.types

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

/** Classes of Node.js and the web whose name says that they hold a connection, a file or a timer. */
const TIED =
  /^(Socket|TLSSocket|Server|Agent|ClientRequest|IncomingMessage|ServerResponse|OutgoingMessage|ChildProcess|Worker|FileHandle|Dir|FSWatcher|StatWatcher|Timeout|Immediate|Interface|EventEmitter|BroadcastChannel|MessageChannel|WebSocket|Performance\w*|\w*(Stream|Readable|Writable|Transform|Duplex|Handle|Wrap|Cipher|Decipher|Hash|Hmac))$/

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
  const names = classNames(value)
  const name = names[0]
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (/ Iterator$|Generator$/.test(tag)) {
    return new Refusal(value, `it is a running ${tag}`, 'collect it first: pass [...value]')
  }
  for (const each of [...names, tag]) {
    const fix = Object.hasOwn(FIXES, each) ? FIXES[each] : undefined
    if (fix !== undefined) return new Refusal(value, `it is ${article(each)}, which cannot travel`, fix)
  }
  for (const each of names) {
    if (!TIED.test(each)) continue
    const is = each === name ? article(each) : `${article(name ?? each)} (a kind of ${each})`
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

/** Names of the classes of an object, nearest first, Object left out unless it is the only one. */
export function classNames(value: object): string[] {
  const names: string[] = []
  for (let proto = Object.getPrototypeOf(value); proto !== null; proto = Object.getPrototypeOf(proto)) {
    const type = Object.getOwnPropertyDescriptor(proto, 'constructor')?.value
    if (typeof type !== 'function') continue
    const name = ownName(type) ?? '(anonymous)'
    if (name !== 'Object' || names.length === 0) names.push(name)
  }
  return names
}

function ownName(value: Function): string | undefined {
  const name = Object.getOwnPropertyDescriptor(value, 'name')?.value
  return typeof name === 'string' && name !== '' ? name : undefined
}

function article(name: string): string {
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
