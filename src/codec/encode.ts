import { EncodeError } from '../errors.ts'
import { Encoder } from './encoder.ts'
import type { Encoded, EncodeOptions } from './index.ts'
import { findPath } from './path.ts'
import { Refusal } from './refuse.ts'

/** The encoder that waits for the next message. User code (a getter, `[pack]`) may encode while one is at work. */
let idle: Encoder | undefined

/**
 * A value as bytes and buffers. Identity, cycles and types survive; see README.md in this folder for what travels.
 *
 * @throws EncodeError when a part of it cannot travel; its `path` says where that part is
 */
export function encode(value: unknown, options: EncodeOptions = {}): Encoded {
  const encoder = idle ?? new Encoder()
  idle = undefined
  try {
    encoder.begin(options)
    encoder.root(value)
    return encoder.finish()
  } catch (error) {
    throw explain(error, value, options.path ?? 'value')
  } finally {
    encoder.end()
    idle = encoder
  }
}

/** An element of a list that cannot travel. */
export interface Failed {
  index: number
  error: EncodeError
}

/**
 * Encodes `values` as one array, in which objects are shared between elements. An element that cannot travel does not
 * harm the others: it becomes `undefined`, and is reported. Paths begin at the element (`options.path`).
 *
 * @param nameOf name of an element in error paths, when they have names of their own
 */
export function encodeList(
  values: ArrayLike<unknown>,
  options: EncodeOptions = {},
  nameOf: (index: number) => string = () => options.path ?? 'value',
): { encoded: Encoded; failed: Failed[] } {
  const encoder = idle ?? new Encoder()
  idle = undefined
  const failed: Failed[] = []
  try {
    encoder.begin(options)
    encoder.list(values.length)
    for (let index = 0; index < values.length; index++) {
      const mark = encoder.mark()
      try {
        encoder.root(values[index])
      } catch (error) {
        failed.push({ index, error: explain(error, values[index], nameOf(index)) })
        encoder.backTo(mark)
        encoder.write(undefined)
      }
    }
    return { encoded: encoder.finish(), failed }
  } finally {
    encoder.end()
    idle = encoder
  }
}

function explain(error: unknown, value: unknown, name: string): EncodeError {
  if (error instanceof Refusal) {
    const path = findPath(value, error, name)?.path ?? name
    return new EncodeError(path + error.inside, error.what, error.fix)
  }
  if (error instanceof EncodeError) return error
  // User code ran: a getter, [pack], or an iterator of a subclass.
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const path = findPath(value, undefined, name)?.path ?? name
  return new EncodeError(
    path,
    `reading it threw ${message}`,
    'pass a value that can be read without an error',
  )
}
