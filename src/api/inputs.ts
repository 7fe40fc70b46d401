/** Inputs of a job, whatever they come in. */
import { OptionError } from '../errors.ts'

/** Arrays of numbers with a fixed type; `map` over one gives a Float64Array when the results are numbers. */
export type NumericArray =
  | Float64Array
  | Float32Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray

export type Inputs<I> = readonly I[] | Iterable<I> | AsyncIterable<I>

/** Inputs that are all there: known length, any index at any time. */
export type InputArray = ArrayLike<unknown>

export function isInputArray(inputs: unknown): inputs is InputArray {
  return Array.isArray(inputs) || (ArrayBuffer.isView(inputs) && !(inputs instanceof DataView))
}

export const isNumeric = (inputs: unknown): inputs is NumericArray =>
  ArrayBuffer.isView(inputs) &&
  !(inputs instanceof DataView || inputs instanceof BigInt64Array || inputs instanceof BigUint64Array)

/** The iterator of the inputs. Throws OptionError for what is not iterable. */
export function iteratorOf(inputs: unknown): Iterator<unknown> | AsyncIterator<unknown> {
  const object = inputs as
    | { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown }
    | null
    | undefined
  if (typeof object?.[Symbol.asyncIterator] === 'function')
    return (inputs as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  if (typeof object?.[Symbol.iterator] === 'function') return (inputs as Iterable<unknown>)[Symbol.iterator]()
  const what =
    inputs === null ? 'null' : typeof inputs === 'object' ? 'an object that is not iterable' : typeof inputs
  throw new OptionError(
    `Expected the inputs to be an array, an iterable or an async iterable, got ${what}`,
    'pass an array, or call the function itself for a single input',
  )
}
