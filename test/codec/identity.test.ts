import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, encode, encodeList, fromFrame, toFrame } from '../../src/codec/index.ts'
import { graph, primitive } from './graph.ts'
import { difference } from './same.ts'

/** Shrinking a large graph can take minutes; what was found within seconds is good enough to begin with. */
const runs = (numRuns: number) => ({ numRuns, interruptAfterTimeLimit: 15_000 })

describe('decode(encode(x)) is x', () => {
  it('for primitives', () => {
    fc.assert(
      fc.property(primitive, (value) => {
        expect(difference(value, decode(encode(value)))).toBe(undefined)
      }),
      runs(2000),
    )
  })

  it('for graphs with cycles and shared references', () => {
    fc.assert(
      fc.property(graph, (value) => {
        expect(difference(value, decode(encode(value)))).toBe(undefined)
      }),
      runs(1500),
    )
  })

  it('for graphs that went through a frame', () => {
    fc.assert(
      fc.property(graph, (value) => {
        expect(difference(value, decode(fromFrame(toFrame(encode(value)))))).toBe(undefined)
      }),
      runs(400),
    )
  })

  it('for graphs whose attachments were cloned by the runtime', () => {
    fc.assert(
      fc.property(graph, (value) => {
        const { transfer, ...encoded } = encode(value)
        const moved = structuredClone(encoded, { transfer: transfer ?? [] })
        expect(difference(value, decode(moved))).toBe(undefined)
      }),
      runs(400),
    )
  })

  it('for lists, with what their elements share', () => {
    fc.assert(
      fc.property(fc.array(graph, { maxLength: 4 }), fc.nat(3), (values, twice) => {
        if (values.length > 0) values.push(values[twice % values.length])
        const { encoded, failed } = encodeList(values)
        expect(failed).toEqual([])
        expect(difference(values, decode(encoded))).toBe(undefined)
      }),
      runs(400),
    )
  })
})
