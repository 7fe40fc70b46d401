export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const mid = sorted.length >> 1
  const upper = sorted[mid] as number
  return sorted.length % 2 ? upper : ((sorted[mid - 1] as number) + upper) / 2
}

/**
 * Median of the ratios of runs of the same round. The machine's speed drifts by tens of percent within minutes;
 * neighbours in time share it, so the ratio of neighbours is steadier than the ratio of two medians.
 */
export function pairedRatio(
  numerator: ReadonlyMap<number, number>,
  denominator: ReadonlyMap<number, number>,
): number | undefined {
  const ratios: number[] = []
  for (const [round, value] of numerator) {
    const other = denominator.get(round)
    if (other !== undefined && other !== 0) ratios.push(value / other)
  }
  return ratios.length ? median(ratios) : undefined
}
