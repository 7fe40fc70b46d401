/** Native packages stay outside the bundle; the bundle asks for them here, by name. */
import { createRequire } from 'node:module'
import type { NativePackage } from '../capture/types.ts'

const require = createRequire(import.meta.url)
const known = new Map<string, NativePackage>()

export function registerNatives(natives: NativePackage[]): void {
  for (const native of natives) known.set(native.name, native)
}

/** What `require(name)` would return where the caller's project is. Throws what `require` throws. */
export function requireNative(name: string): unknown {
  return require(known.get(name)?.path ?? name)
}
