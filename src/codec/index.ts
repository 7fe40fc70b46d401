/**
 * One codec for everything that crosses a process or thread boundary: arguments, results, captured values,
 * messages. See README.md in this folder for the format.
 */

/** What `encode` returns. `bytes` refers to `attachments` by index; both are needed to decode. */
export interface Encoded {
  bytes: Uint8Array
  /** Backing stores of typed arrays, ArrayBuffers and SharedArrayBuffers, out of band, in order of first use. */
  attachments: (ArrayBuffer | SharedArrayBuffer)[]
  /** Those of `attachments` that the sender gives away (`transfer(x)`), for a transfer list. */
  transfer?: ArrayBuffer[]
}

/** Functions and classes that both ends know, by a small index (captured and imported ones). */
export interface Entities {
  /** Encoding: the index of a function or class, or undefined when the other end does not know it. */
  indexOf(fn: Function): number | undefined
  /** Decoding: the function or class with this index, or undefined. */
  at(index: number): Function | undefined
}

export interface EncodeOptions {
  /** Name of the root in error paths. @default 'value' */
  path?: string
  entities?: Entities
  /** SharedArrayBuffers may travel (threads of one process only). @default false */
  shared?: boolean
  /**
   * Called with every plain object that has properties which only `Object.defineProperty()` makes: accessors, and
   * properties that are not enumerable. Accessors are then not read, and `undefined` travels in their place. Without
   * this, accessors are read and travel as values, and what is not enumerable is left out, as in `structuredClone()`.
   */
  onDefined?: (object: object) => void
}

export interface DecodeOptions {
  entities?: Entities
}

export { decode } from './decode.ts'
export { encode, encodeList, type Failed } from './encode.ts'
export { frameParts, fromFrame, IncomingFrame, toFrame } from './frame.ts'
export { packNumbers } from './numbers.ts'
export { pack, unpack } from './pack.ts'
export { sendable } from './sendable.ts'
export { takeGiven, transfer } from './transfer.ts'
