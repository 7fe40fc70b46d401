/** First byte of everything that `encode` returns. */
export const MAGIC = 0xdc
/** Second byte: version of the format in the low four bits, flags above. */
export const VERSION = 1
/** Flag of the second byte: the bytes end with a table of attachment offsets. */
export const HAS_BASES = 0x10

/** One byte says what a value is; small values are inside it. README.md in this folder describes each. */
export const Tag = {
  /** 0x00 to 0x7f: the integers 0 to 127. */
  SHORT_STRING: 0x80,
  SHAPED: 0xa0,
  SHORT_ARRAY: 0xc0,

  UNDEFINED: 0xd0,
  NULL: 0xd1,
  TRUE: 0xd2,
  FALSE: 0xd3,
  NEGATIVE: 0xd4,
  INT16: 0xd5,
  INT32: 0xd6,
  FLOAT64: 0xd7,
  STRING: 0xd8,
  LONG_STRING: 0xd9,
  UTF8_STRING: 0xda,
  UTF16_STRING: 0xdb,
  SEEN_STRING: 0xdc,
  SEEN_OBJECT: 0xdd,
  SHAPED_MANY: 0xde,
  NEW_SHAPE: 0xdf,
  KEYED: 0xe0,
  BARE_OBJECT: 0xe1,
  ARRAY: 0xe2,
  SPARSE_ARRAY: 0xe3,
  NUMBERS: 0xe4,
  INTEGERS: 0xe5,
  NUMBERS_APART: 0xe6,
  INTEGERS_APART: 0xe7,
  BIGINT64: 0xe8,
  BIGINT: 0xe9,
  SYMBOL: 0xea,
  KNOWN_SYMBOL: 0xeb,
  BOXED: 0xec,
  DATE: 0xed,
  REGEXP: 0xee,
  MAP: 0xef,
  SET: 0xf0,
  ERROR: 0xf1,
  /** A URL or URLSearchParams, then its text. */
  URL: 0xf2,
  SHORT_UTF8_STRING: 0xf3,
  BUFFER: 0xf4,
  BUFFER_HERE: 0xf5,
  VIEW: 0xf6,
  ENTITY: 0xf7,
  INSTANCE: 0xf8,
  PACKED: 0xf9,
  WITH_PROPS: 0xfa,
  HIDDEN: 0xfb,
  LATER_PROPS: 0xfc,
  LATER_ARRAY: 0xfd,
  LATER_ENTRIES: 0xfe,
  LIST: 0xff,
} as const

/** Nesting at which a container's content is written after the rest, so that neither end needs a deep stack. */
export const MAX_DEPTH = 128
/** Nesting that `[pack]` results may add: their content has to be there before `[unpack]` runs. */
export const MAX_PACKED_DEPTH = 512
/** Keys of a shape; objects with more are written key by key. */
export const MAX_SHAPE_KEYS = 64
/** Shapes of one message; later ones are written key by key. */
export const MAX_SHAPES = 4096
/** How many of the last strings can be named again. A power of two. */
export const STRING_RING = 1024

/** Symbols that every realm has, by index. Append only: the index is part of the format. */
export const KNOWN_SYMBOLS: readonly (symbol | undefined)[] = [
  Symbol.asyncIterator,
  Symbol.hasInstance,
  Symbol.isConcatSpreadable,
  Symbol.iterator,
  Symbol.match,
  Symbol.matchAll,
  Symbol.replace,
  Symbol.search,
  Symbol.species,
  Symbol.split,
  Symbol.toPrimitive,
  Symbol.toStringTag,
  Symbol.unscopables,
  Symbol.dispose as symbol | undefined,
  Symbol.asyncDispose as symbol | undefined,
]

/** Whether a symbol is the same at the other end. */
export function travels(symbol: symbol): boolean {
  return Symbol.keyFor(symbol) !== undefined || KNOWN_SYMBOLS.includes(symbol)
}

/** Error classes that every realm has, by index. Append only. */
export const ERROR_NAMES = [
  'Error',
  'EvalError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'TypeError',
  'URIError',
  'AggregateError',
  'SuppressedError',
  'DOMException',
] as const

/** Kinds of views, by index; element size in bytes. Append only. */
export const VIEWS: readonly { name: string; size: number }[] = [
  { name: 'Int8Array', size: 1 },
  { name: 'Uint8Array', size: 1 },
  { name: 'Uint8ClampedArray', size: 1 },
  { name: 'Int16Array', size: 2 },
  { name: 'Uint16Array', size: 2 },
  { name: 'Int32Array', size: 4 },
  { name: 'Uint32Array', size: 4 },
  { name: 'Float16Array', size: 2 },
  { name: 'Float32Array', size: 4 },
  { name: 'Float64Array', size: 8 },
  { name: 'BigInt64Array', size: 8 },
  { name: 'BigUint64Array', size: 8 },
  { name: 'DataView', size: 1 },
  { name: 'Buffer', size: 1 },
]
export const DATA_VIEW = 12
export const NODE_BUFFER = 13

/** How a buffer was, in the byte after `BUFFER` or `BUFFER_HERE`. */
export const BufferKind = { FIXED: 0, RESIZABLE: 1, SHARED: 2 } as const
