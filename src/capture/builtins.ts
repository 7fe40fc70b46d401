/**
 * Functions that every process has under a name: those of the language (`Math.max`) and those that builtin modules
 * export (`path.join`). Found by identity. Accessors of `globalThis` are never read: reading one may load a large
 * part of Node.js.
 */
import { builtinModules } from 'node:module'
import type { Callable } from './ast.ts'

export type Known = { kind: 'global'; expression: string } | { kind: 'builtin'; module: string; name: string }

/** Globals of the language and those of Node.js that its worker threads have too. */
export const GLOBALS = new Set(
  (
    'AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean DataView Date ' +
    'DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity ' +
    'Int16Array Int32Array Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ' +
    'ReferenceError Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError ' +
    'URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly ' +
    'decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis global isFinite isNaN ' +
    'parseFloat parseInt undefined unescape ' +
    'AbortController AbortSignal Blob BroadcastChannel Buffer ByteLengthQueuingStrategy CloseEvent CompressionStream ' +
    'CountQueuingStrategy Crypto CryptoKey CustomEvent DOMException DecompressionStream ErrorEvent Event EventSource EventTarget ' +
    'File FormData Headers MessageChannel MessageEvent MessagePort Navigator Performance PerformanceEntry ' +
    'PerformanceMark PerformanceMeasure PerformanceObserver PerformanceObserverEntryList ' +
    'PerformanceResourceTiming ReadableByteStreamController ReadableStream ReadableStreamBYOBReader ' +
    'ReadableStreamBYOBRequest ReadableStreamDefaultController ReadableStreamDefaultReader Request Response ' +
    'SubtleCrypto TextDecoder TextDecoderStream TextEncoder TextEncoderStream TransformStream ' +
    'TransformStreamDefaultController URL URLPattern URLSearchParams WebSocket WritableStream ' +
    'WritableStreamDefaultController WritableStreamDefaultWriter atob btoa clearImmediate clearInterval ' +
    'clearTimeout console crypto fetch navigator performance process queueMicrotask setImmediate setInterval ' +
    'setTimeout structuredClone'
  ).split(' '),
)

/** Objects whose functions are named by a path; prototypes give `Array.prototype.map`. */
const LANGUAGE = [...GLOBALS].slice(0, [...GLOBALS].indexOf('AbortController'))
const HOST = (
  'Buffer process console setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask ' +
  'structuredClone atob btoa URL URLSearchParams AbortController AbortSignal Event EventTarget TextEncoder TextDecoder'
).split(' ')

let language: Map<Callable, string> | undefined
let modules: { count: number; table: Map<Callable, { module: string; name: string }> } | undefined

/** How any process finds this function, or undefined for one that has no such name. */
export function knownFunction(fn: Callable): Known | undefined {
  language ??= languageTable()
  const expression = language.get(fn)
  if (expression !== undefined) return { kind: 'global', expression }
  const found = moduleTable().get(fn)
  if (found) return { kind: 'builtin', ...found }
  return undefined
}

function languageTable(): Map<Callable, string> {
  const table = new Map<Callable, string>()
  const add = (value: unknown, expression: string) => {
    if (typeof value === 'function' && !table.has(value)) table.set(value, expression)
  }
  const members = (object: object, path: string) => {
    for (const key of Reflect.ownKeys(object)) {
      if (key === 'constructor' || key === 'caller' || key === 'callee' || key === 'arguments') continue
      const value: unknown = Object.getOwnPropertyDescriptor(object, key)?.value
      if (typeof key === 'string')
        add(value, `${path}${/^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`}`)
      else if (key.description?.startsWith('Symbol.')) add(value, `${path}[${key.description}]`)
    }
  }
  const roots: [string, object][] = []
  for (const name of [...LANGUAGE, ...HOST]) {
    const value: unknown = Object.getOwnPropertyDescriptor(globalThis, name)?.value
    if (value === globalThis) continue
    add(value, name)
    if ((typeof value === 'object' && value !== null) || typeof value === 'function')
      roots.push([name, value])
  }
  for (const [name, value] of roots) {
    members(value, name)
    const prototype: unknown = Object.getOwnPropertyDescriptor(value, 'prototype')?.value
    if ((typeof prototype === 'object' && prototype !== null) || typeof prototype === 'function')
      members(prototype, `${name}.prototype`)
  }
  const hidden: [string, object][] = [
    ['Object.getPrototypeOf(Uint8Array)', Object.getPrototypeOf(Uint8Array)],
    ['Object.getPrototypeOf(async () => {}).constructor', Object.getPrototypeOf(async () => {}).constructor],
    [
      'Object.getPrototypeOf(function* () {}).constructor',
      Object.getPrototypeOf(function* () {}).constructor,
    ],
  ]
  for (const [expression, value] of hidden) {
    add(value, expression)
    members(value, expression)
  }
  return table
}

/** Exports of builtin modules that are loaded already: loading all of them would take 40 ms. */
function moduleTable(): Map<Callable, { module: string; name: string }> {
  const { moduleLoadList: list } = process as { moduleLoadList?: string[] }
  const count = list?.length ?? 0
  if (modules?.count === count) return modules.table
  const loaded = new Set(list?.map((entry) => entry.replace(/^NativeModule /, '')))
  const table = new Map<Callable, { module: string; name: string }>()
  for (const module of builtinModules) {
    if (module.startsWith('_') || !loaded.has(module)) continue
    const exports: unknown = process.getBuiltinModule(module)
    if (typeof exports === 'function' && !table.has(exports))
      table.set(exports, { module: `node:${module}`, name: 'default' })
    if ((typeof exports !== 'object' && typeof exports !== 'function') || exports === null) continue
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(exports)))
      if (typeof value === 'function' && !table.has(value))
        table.set(value, { module: `node:${module}`, name })
  }
  modules = { count, table }
  return table
}

/** Whether an object is what `require` of a builtin module returns. */
export function builtinModuleOf(value: object): string | undefined {
  const { moduleLoadList: list } = process as { moduleLoadList?: string[] }
  const loaded = new Set(list?.map((entry) => entry.replace(/^NativeModule /, '')))
  return builtinModules.find((module) => loaded.has(module) && process.getBuiltinModule(module) === value)
}
