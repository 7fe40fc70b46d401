/** Sets of few task indexes: pairs of a first index and the one after the last, sorted, which do not overlap. */

export type Pair = [start: number, end: number]

/** Number of tasks. */
export function sizeOf(spans: readonly Pair[]): number {
  let sum = 0
  for (const [start, end] of spans) sum += end - start
  return sum
}

/** Takes what lies between `start` and `end` out of spans that are sorted. Returns what was taken. */
export function cutOut(spans: Pair[], start: number, end: number): Pair[] {
  const removed: Pair[] = []
  for (let at = 0; at < spans.length; ) {
    const [first, last] = spans[at] as Pair
    const from = Math.max(first, start)
    const to = Math.min(last, end)
    if (from >= to) {
      at++
      continue
    }
    removed.push([from, to])
    const rest: Pair[] = []
    if (first < from) rest.push([first, from])
    if (to < last) rest.push([to, last])
    spans.splice(at, 1, ...rest)
    at += rest.length
  }
  return removed
}

/** Offsets from `start` of those of `count` tasks that no span has. */
export function gapsOf(spans: Pair[], start: number, count: number): number[] {
  const missing: number[] = []
  const sorted = spans.sort((a, b) => a[0] - b[0])
  let at = 0
  for (let index = start; index < start + count; index++) {
    while (at < sorted.length && (sorted[at] as Pair)[1] <= index) at++
    const span = sorted[at]
    if (!span || index < span[0]) missing.push(index - start)
  }
  return missing
}

/** What is left of `count` tasks without those at the offsets `ignore`: the opposite of `gapsOf`. */
export function* runs(start: number, count: number, ignore: readonly number[]): Generator<Pair> {
  let from = 0
  for (const offset of [...ignore, count]) {
    if (offset > from) yield [start + from, start + offset]
    from = offset + 1
  }
}
