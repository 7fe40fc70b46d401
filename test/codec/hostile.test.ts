import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decode,
  type Encoded,
  encode,
  encodeList,
  fromFrame,
  pack,
  toFrame,
  unpack,
} from '../../src/codec/index.ts'
import { Tag } from '../../src/codec/tags.ts'
import { DecodeError } from '../../src/errors.ts'
import { graph } from './graph.ts'

class Known {
  a = 1
}
class Packed {
  static [pack]() {
    return [1]
  }
  static [unpack]() {
    return new Packed()
  }
}
const classes = [Known, Packed, Math.max]
const entities = {
  indexOf: (fn: Function) => (classes.includes(fn as never) ? classes.indexOf(fn as never) : undefined),
  at: (index: number) => classes[index] as Function,
}

function tryDecode(encoded: Encoded): unknown {
  try {
    return decode(encoded, { entities })
  } catch (error) {
    if (error instanceof DecodeError) return error
    throw error
  }
}

/** 0xdc, version, then these. */
function message(...bytes: (number | string | number[])[]): Encoded {
  const flat = bytes.flatMap((each) => (typeof each === 'string' ? [...Buffer.from(each, 'latin1')] : each))
  return { bytes: Uint8Array.from([0xdc, 1, ...flat]), attachments: [] }
}

const U32 = [0xff, 0xff, 0xff, 0xff]
const HUGE = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]
const shape = (...keys: string[]): number[] => {
  const body = [keys.length, ...keys.flatMap((key) => [key.length, ...Buffer.from(key)])]
  return [Tag.NEW_SHAPE, body.length & 255, body.length >> 8, ...body]
}

const BOMBS: [string, Encoded][] = [
  ['nothing', { bytes: new Uint8Array(0), attachments: [] }],
  ['a head only', message()],
  ['another first byte', { bytes: Uint8Array.of(0, 1, 1), attachments: [] }],
  ['another version', { bytes: Uint8Array.of(0xdc, 2, 1), attachments: [] }],
  ['an unknown flag', { bytes: Uint8Array.of(0xdc, 0x21, 1), attachments: [] }],
  [
    'a broken table of attachments',
    { bytes: Uint8Array.of(0xdc, 0x11, 1, 1, 1, 1, 255, 255, 255, 255), attachments: [] },
  ],
  ['something behind', message(1, 1)],
  ['a huge array', message(Tag.ARRAY, HUGE)],
  ['an array of 4 G', message(Tag.ARRAY, [0xff, 0xff, 0xff, 0xff, 0x0f], 1)],
  ['huge arrays in each other', message(...Array.from({ length: 400 }, () => [Tag.ARRAY, 0xe8, 0x07]))],
  ['a number that never ends', message(Tag.ARRAY, new Array(20).fill(0xff))],
  ['a huge map', message(Tag.MAP, HUGE)],
  ['a huge set', message(Tag.SET, HUGE)],
  ['a huge object', message(Tag.KEYED, HUGE)],
  ['a huge list', message(Tag.LIST, HUGE)],
  ['a list inside', message(Tag.SHORT_ARRAY + 1, Tag.LIST, 0)],
  ['a huge string', message(Tag.LONG_STRING, U32, 'abc')],
  ['a huge UTF-8 string', message(Tag.UTF8_STRING, U32, 'abc')],
  ['a huge UTF-16 string', message(Tag.UTF16_STRING, U32, 'abc')],
  ['a short string cut off', message(Tag.SHORT_STRING + 9, 'abc')],
  ['a string that was not there', message(Tag.SEEN_STRING, 0, 0)],
  ['a string far away', message(Tag.SEEN_STRING, 255, 255)],
  ['an object that was not there', message(Tag.SEEN_OBJECT, 0)],
  ['an object that is not ready', message(Tag.PACKED, 1, Tag.SEEN_OBJECT, 0)],
  ['a view of itself', message(Tag.VIEW, 1, Tag.SEEN_OBJECT, 0, 0, 1)],
  ['a huge bigint', message(Tag.BIGINT, HUGE)],
  ['a bigint cut off', message(Tag.BIGINT, 200, 1)],
  ['a huge block', message(Tag.NUMBERS, HUGE)],
  ['a block of 2^60', message(Tag.NUMBERS, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 1)],
  ['a block with a wrong width', message(Tag.INTEGERS, 3, 1, 1, 1, 1)],
  ['a block of a missing attachment', message(Tag.NUMBERS_APART, 0)],
  ['a missing attachment', message(Tag.BUFFER, 0, 0)],
  [
    'an attachment twice',
    {
      ...message(Tag.SHORT_ARRAY + 2, Tag.BUFFER, 0, 0, Tag.BUFFER, 0, 0),
      attachments: [new ArrayBuffer(8)],
    },
  ],
  [
    'a block twice',
    {
      ...message(Tag.SHORT_ARRAY + 2, Tag.NUMBERS_APART, 0, Tag.NUMBERS_APART, 0),
      attachments: [new ArrayBuffer(8)],
    },
  ],
  ['a block with a broken size', { ...message(Tag.NUMBERS_APART, 0), attachments: [new ArrayBuffer(9)] }],
  ['a shared buffer that is none', { ...message(Tag.BUFFER, 2, 0), attachments: [new ArrayBuffer(8)] }],
  ['a buffer that is shared', { ...message(Tag.BUFFER, 0, 0), attachments: [new SharedArrayBuffer(8)] }],
  [
    'a resizable buffer of 2^50',
    message(Tag.BUFFER_HERE, 1, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], 0),
  ],
  [
    'a thousand resizable buffers',
    message(
      Tag.ARRAY,
      0x88,
      0x27,
      ...Array.from({ length: 5000 }, () => [Tag.BUFFER_HERE, 1, 0x80, 0x80, 0x80, 0x80, 1, 0]),
    ),
  ],
  ['a buffer here that is not', message(Tag.BUFFER_HERE, 0, HUGE)],
  ['an unknown kind of buffer', message(Tag.BUFFER_HERE, 9, 0)],
  ['an unknown kind of view', message(Tag.VIEW, 99, Tag.BUFFER_HERE, 0, 0, 0, 1)],
  ['a view past its buffer', message(Tag.VIEW, 9, Tag.BUFFER_HERE, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 99)],
  ['a view that is not aligned', message(Tag.VIEW, 9, Tag.BUFFER_HERE, 0, 0, 3, 1)],
  ['a view of an object', message(Tag.VIEW, 1, Tag.KEYED, 0, 0, 1)],
  ['a Buffer of a number', message(Tag.VIEW, 13, 5, 0, 1)],
  ['a pattern that is none', message(Tag.REGEXP, Tag.SHORT_STRING + 1, '(', Tag.SHORT_STRING, 0)],
  ['flags that are none', message(Tag.REGEXP, Tag.SHORT_STRING + 1, 'a', Tag.SHORT_STRING + 1, '!', 0)],
  ['a pattern of an object', message(Tag.REGEXP, Tag.KEYED, 0, Tag.SHORT_STRING, 0)],
  ['an address that is none', message(Tag.URL, Tag.SHORT_STRING + 1, ':')],
  ['an unknown kind of error', message(Tag.ERROR, 99)],
  ['an error cut off', message(Tag.ERROR, 0, Tag.UNDEFINED)],
  ['an unknown symbol', message(Tag.KNOWN_SYMBOL, 200)],
  ['a symbol that is a number', message(Tag.SYMBOL, 5)],
  ['a box of nothing', message(Tag.BOXED, Tag.UNDEFINED)],
  ['a box of an object', message(Tag.BOXED, Tag.KEYED, 0)],
  ['an unknown class', message(Tag.INSTANCE, 77, Tag.KEYED, 0)],
  ['an unknown function', message(Tag.ENTITY, 77)],
  ['an instance of a function that is no class', message(Tag.INSTANCE, 2, Tag.MAP, 0)],
  ['an instance of a number', message(Tag.INSTANCE, 0, 5)],
  ['an instance without anything', message(Tag.INSTANCE, 0, Tag.UNDEFINED)],
  ['a packed value of a class that cannot', message(Tag.PACKED, 0, 5)],
  ['properties of a number', message(Tag.WITH_PROPS, 5, Tag.KEYED, 0)],
  ['properties that are none', message(Tag.BARE_OBJECT, 5)],
  ['a shape that was not there', message(Tag.SHAPED)],
  ['a shape far away', message(Tag.SHAPED_MANY, HUGE)],
  ['a shape cut off', message(Tag.NEW_SHAPE, 200, 0, 3, 1, 'a')],
  ['a shape with too many keys', message(Tag.NEW_SHAPE, 1, 0, 200)],
  ['a shape with a long key', message(Tag.NEW_SHAPE, 3, 0, 1, 250, 'a')],
  ['a shape with something behind', message(Tag.NEW_SHAPE, 4, 0, 1, 1, 'ab', 5)],
  ['values that are missing', message(shape('a', 'b'), 1)],
  ['the same key twice in a Map', message(Tag.MAP, 2, 1, 1, 1, 1)],
  ['the same item twice in a Set', message(Tag.SET, 2, 1, 1)],
  ['an element past the end', message(Tag.SPARSE_ARRAY, 5, 1, 9, 1)],
  ['an array longer than arrays are', message(Tag.SPARSE_ARRAY, [0x80, 0x80, 0x80, 0x80, 0x10], 0)],
  ['too many elements in a sparse array', message(Tag.SPARSE_ARRAY, 5, HUGE)],
  ['deep nesting', message(new Array(100_000).fill(Tag.SHORT_ARRAY + 1), 1)],
  ['deep nesting of maps', message(...Array.from({ length: 50_000 }, () => [Tag.MAP, 1]))],
  ['deep nesting of properties', message(new Array(100_000).fill(Tag.WITH_PROPS))],
  [
    'deep nesting of errors',
    message(
      ...Array.from({ length: 50_000 }, () => [Tag.ERROR, 0, Tag.UNDEFINED, Tag.KEYED, 1, Tag.SHORT_STRING]),
    ),
  ],
  ['deep nesting of packed values', message(...Array.from({ length: 50_000 }, () => [Tag.PACKED, 1]))],
  ['deep nesting of boxes', message(new Array(100_000).fill(Tag.BOXED))],
  ['deep nesting of views', message(...Array.from({ length: 50_000 }, () => [Tag.VIEW, 1]))],
  ['deep nesting of patterns', message(new Array(100_000).fill(Tag.REGEXP))],
  ['deep nesting of addresses', message(new Array(100_000).fill(Tag.URL))],
  ['deep nesting of instances', message(...Array.from({ length: 50_000 }, () => [Tag.INSTANCE, 0]))],
  ['later content that never comes', message(Tag.LATER_ARRAY)],
  ['later content of another kind', message(Tag.LATER_ARRAY, Tag.MAP, 0)],
  ['later entries of nothing', message(Tag.LATER_ENTRIES, 5, 0, 1)],
  ['later content that comes later again', message(new Array(1000).fill(Tag.LATER_ARRAY))],
  ['a hidden key that is none', message(Tag.KEYED, 1, Tag.HIDDEN, Tag.HIDDEN, 1)],
]

describe('hostile bytes', () => {
  it.each(BOMBS)('%s', (_name, encoded) => {
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
    expect(tryDecode(encoded)).toBeInstanceOf(DecodeError)
    const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before
    expect(grown).toBeLessThan(64 * 1024 * 1024)
  })

  it('cannot make a sparse array take memory', () => {
    const encoded = message(Tag.SPARSE_ARRAY, [0x80, 0x80, 0x80, 0x0f], 1, 0, 7)
    const before = process.memoryUsage().heapUsed
    const array = tryDecode(encoded) as number[]
    expect([array.length, array[0]]).toEqual([31457280, 7])
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 * 1024 * 1024)
  })

  it('cannot make later containers take memory before their content comes', () => {
    const many = 100_000
    const encoded = message(
      Tag.ARRAY,
      0xa0,
      0x8d,
      0x06,
      new Array(many).fill(Tag.LATER_ARRAY),
      Tag.ARRAY,
      0xa0,
      0x8d,
      0x06,
    )
    expect(tryDecode(encoded)).toBeInstanceOf(DecodeError)
  })

  it('cannot reach prototypes', () => {
    const value = JSON.parse(
      '{"__proto__": {"polluted": 1}, "a": {"constructor": {"prototype": {"polluted": 1}}}}',
    )
    const back = decode(encode(value)) as Record<string, unknown>
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype)
    expect(Object.hasOwn(back, '__proto__')).toBe(true)
    const forged = [
      message(shape('__proto__'), shape('polluted'), 1),
      message(Tag.KEYED, 1, Tag.SHORT_STRING + 9, '__proto__', shape('polluted'), 1),
      message(Tag.INSTANCE, 0, shape('__proto__'), shape('polluted'), 1),
      message(Tag.WITH_PROPS, Tag.SHORT_ARRAY, shape('__proto__'), shape('polluted'), 1),
      message(Tag.ERROR, 0, Tag.UNDEFINED, shape('__proto__'), shape('polluted'), 1),
    ]
    for (const encoded of forged) {
      const made = tryDecode(encoded) as object
      expect(Object.hasOwn(made, '__proto__')).toBe(true)
      expect((made as { polluted?: number }).polluted).toBe(undefined)
    }
    expect(({} as { polluted?: number }).polluted).toBe(undefined)
  })

  it('cannot read what earlier messages held', () => {
    decode(encode({ secret: 'a secret of another message', list: [{ a: 1 }] }))
    for (let slot = 0; slot < 8; slot++)
      expect(tryDecode(message(Tag.SEEN_STRING, slot, 0))).toBeInstanceOf(DecodeError)
    for (let number = 0; number < 8; number++) {
      expect(tryDecode(message(Tag.SEEN_OBJECT, number))).toBeInstanceOf(DecodeError)
      expect(tryDecode(message(Tag.SHAPED + number, 1))).toBeInstanceOf(DecodeError)
    }
  })

  it('leave the decoder in order', () => {
    for (const [, encoded] of BOMBS) tryDecode(encoded)
    const value = { a: [1, 'x', { b: new Map([[1, new Uint8Array(3000)]]) }] }
    expect(decode(encode(value))).toEqual(value)
  })
})

describe('damaged bytes never do more than fail', () => {
  /** A change of valid bytes: positions are fractions, so that they stay useful while a case shrinks. */
  const change = fc.oneof(
    fc.record({
      kind: fc.constant('flip' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      bit: fc.nat(7),
    }),
    fc.record({
      kind: fc.constant('set' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      byte: fc.nat(255),
    }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({
      kind: fc.constant('insert' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      bytes: fc.oneof(fc.uint8Array({ maxLength: 6 }), fc.constant(Uint8Array.from(HUGE))),
    }),
    fc.record({
      kind: fc.constant('move' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      size: fc.nat(20),
    }),
  )

  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

  function damage(bytes: Uint8Array, changes: Change[]): Uint8Array {
    let now = [...bytes]
    for (const each of changes) {
      const at = Math.floor(each.at * now.length)
      if (each.kind === 'flip') now[at] = (now[at] ?? 0) ^ (1 << each.bit)
      else if (each.kind === 'set') now[at] = each.byte
      else if (each.kind === 'cut') now = now.slice(0, at)
      else if (each.kind === 'insert') now.splice(at, 0, ...each.bytes)
      else now.splice(at, 0, ...now.slice(Math.floor(each.from * now.length)).slice(0, each.size))
    }
    return Uint8Array.from(now)
  }

  it('of a message', () => {
    fc.assert(
      fc.property(graph, fc.array(change, { minLength: 1, maxLength: 4 }), (value, changes) => {
        const { bytes, attachments } = encode(value)
        // The head is kept: it would end most cases at once.
        const damaged = damage(bytes.subarray(2), changes)
        const before = process.memoryUsage().arrayBuffers
        tryDecode({ bytes: Uint8Array.from([...bytes.subarray(0, 2), ...damaged]), attachments })
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024)
      }),
      { numRuns: 3000, interruptAfterTimeLimit: 20_000 },
    )
  })

  it('of a list of instances', () => {
    const value = [
      new Known(),
      new Packed(),
      [Known],
      Object.assign(new Known(), { b: new Map([[new Known(), Math.max]]) }),
    ]
    const { bytes } = encodeList(value, { entities }).encoded
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        tryDecode({ bytes: damage(bytes, changes), attachments: [] })
      }),
      { numRuns: 2000, interruptAfterTimeLimit: 20_000 },
    )
  })

  it('of a frame', () => {
    fc.assert(
      fc.property(graph, fc.array(change, { minLength: 1, maxLength: 4 }), (value, changes) => {
        const frame = damage(toFrame(encode(value)), changes)
        try {
          tryDecode(fromFrame(frame))
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError)
        }
      }),
      { numRuns: 1000, interruptAfterTimeLimit: 20_000 },
    )
  })

  it('of nothing but noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        tryDecode({ bytes: Uint8Array.from([0xdc, 1, ...bytes]), attachments: [] })
      }),
      { numRuns: 5000, interruptAfterTimeLimit: 20_000 },
    )
  })
})
