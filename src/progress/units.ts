/** 1234567 → `1,234,567` */
export function formatCount(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Tasks per second: `0.25/s`, `8.3/s`, `1,204/s`, `1.25M/s`. */
export function formatRate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return '0/s'
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(2)}M/s`
  if (perSecond >= 100) return `${formatCount(perSecond)}/s`
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`
  // Slower than one a second, people think in time per task.
  return `${formatDuration(1000 / perSecond)} each`
}

/** Milliseconds: `12 ms`, `3.2 s`, `45 s`, `3m12s`, `2h05m`, `3d04h`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '?'
  const clamped = Math.max(0, ms)
  if (clamped < 999.5) return `${Math.round(clamped)} ms`
  if (clamped < 9_950) return `${(clamped / 1000).toFixed(1)} s`
  const seconds = Math.round(clamped / 1000)
  if (seconds < 60) return `${seconds} s`
  const pad = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m${pad(seconds % 60)}s`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return `${hours}h${pad(minutes % 60)}m`
  return `${Math.floor(hours / 24)}d${pad(hours % 24)}h`
}

/** Bytes in binary units: `512 B`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 || value >= 100
    ? `${Math.round(value)} ${units[unit]}`
    : `${value.toFixed(1)} ${units[unit]}`
}
