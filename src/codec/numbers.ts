/** Arrays of nothing but numbers travel as one block: 1e6 of them in about the time of a copy. */

/**
 * The numbers `values[start]` to `values[end - 1]` as doubles.
 * @returns undefined as soon as one of them is not a number
 */
export function packNumbers(
  values: ArrayLike<unknown>,
  start: number,
  end: number,
): Float64Array<ArrayBuffer> | undefined {
  const count = end - start
  if (count > 0 && typeof values[start] !== 'number') return undefined
  const packed = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    const value = values[start + i]
    if (typeof value !== 'number') return undefined
    packed[i] = value
  }
  return packed
}

/** How many bytes one element takes when all are integers that fit; 8 for doubles, 0 when not all are numbers. */
export type Width = 0 | 1 | 2 | 4 | 8

/** The narrowest width that holds every element exactly: 1 is unsigned, 2 and 4 are signed, -0 needs 8. */
export function widthOf(values: readonly unknown[]): Width {
  const count = values.length
  let least = 0
  let most = 0
  let i = 0
  for (; i < count; i++) {
    const value = values[i]
    if (typeof value !== 'number') return 0
    if ((value | 0) !== value || (value === 0 && 1 / value < 0)) break
    if (value < least) least = value
    else if (value > most) most = value
  }
  for (; i < count; i++) {
    if (typeof values[i] !== 'number') return 0
    if (i === count - 1) return 8
  }
  if (least >= 0 && most < 256) return 1
  return least >= -32768 && most < 32768 ? 2 : 4
}

/** The elements, all of them integers of this width. */
export function packIntegers(
  values: readonly number[],
  width: 1 | 2 | 4,
): Uint8Array | Int16Array | Int32Array {
  const packed =
    width === 1
      ? new Uint8Array(values.length)
      : width === 2
        ? new Int16Array(values.length)
        : new Int32Array(values.length)
  for (let i = 0; i < values.length; i++) packed[i] = values[i]!
  return packed
}
