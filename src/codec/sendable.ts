import { EncodeError } from '../errors.ts'
import { encode } from './encode.ts'
import type { EncodeOptions } from './index.ts'

/** Errors in a chain of causes that are looked at; the rest of a longer one is left out. */
const MAX_CHAIN = 32

/**
 * Something that was thrown, in a form that certainly travels: itself if it can; else, for an error, a copy in which
 * every property that cannot travel (the `request` of an HTTP error, a socket, a function) is replaced by a text that
 * says so. The class, name, message, stack and everything else stay. A value that is no error and cannot travel
 * becomes the EncodeError that says why.
 */
export function sendable(thrown: unknown, options: EncodeOptions = {}): unknown {
  return refusalOf(thrown, options) === undefined ? thrown : substitute(thrown, options, new Map())
}

function refusalOf(value: unknown, options: EncodeOptions): EncodeError | undefined {
  try {
    encode(value, options)
    return undefined
  } catch (error) {
    if (error instanceof EncodeError) return error
    throw error
  }
}

function substitute(value: unknown, options: EncodeOptions, made: Map<unknown, unknown>): unknown {
  const known = made.get(value)
  if (known !== undefined) return known
  const refusal = refusalOf(value, options)
  if (refusal === undefined) return value
  if (!(value instanceof Error)) return refusal
  if (made.size >= MAX_CHAIN) return note(refusal)
  // A true error (with the internal slot) of the same class, so that it is encoded as the original would be.
  const copy = Object.setPrototypeOf(new Error(), Object.getPrototypeOf(value)) as Record<
    PropertyKey,
    unknown
  >
  made.set(value, copy)
  for (const key of Reflect.ownKeys(copy)) Reflect.deleteProperty(copy, key)
  for (const key of Reflect.ownKeys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property === undefined) continue
    const item = 'value' in property ? property.value : read(value, key)
    const replaced = replace(item, options, made)
    Object.defineProperty(copy, key, {
      value: replaced,
      enumerable: property.enumerable === true,
      writable: true,
      configurable: true,
    })
  }
  const left = refusalOf(copy, options)
  return left === undefined ? copy : plainError(value, left)
}

/** What an accessor gives: `stack` is one in some engines, and some libraries make `message` one. */
function read(error: Error, key: PropertyKey): unknown {
  try {
    return Reflect.get(error, key)
  } catch {
    return undefined
  }
}

function replace(item: unknown, options: EncodeOptions, made: Map<unknown, unknown>): unknown {
  const refusal = refusalOf(item, options)
  if (refusal === undefined) return item
  if (item instanceof Error) return substitute(item, options, made)
  if (Array.isArray(item)) return item.map((each) => replace(each, options, made))
  return note(refusal)
}

/** The last resort, for an error whose class itself stands in the way. */
function plainError(value: Error, refusal: EncodeError): Error {
  const plain = new Error(String(value.message))
  Object.defineProperty(plain, 'name', { value: String(value.name), configurable: true, writable: true })
  Object.defineProperty(plain, 'stack', { value: String(value.stack), configurable: true, writable: true })
  return Object.assign(plain, { left: note(refusal) })
}

function note(refusal: EncodeError): string {
  return `[${refusal.message.split('\n', 1)[0]}]`
}
