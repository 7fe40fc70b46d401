/**
 * `import … from 'dicomp'` inside code that travels: the slot's runtime answers, so the library itself never
 * becomes part of a bundle. The slot puts it at `globalThis[Symbol.for('dicomp.runtime')]`.
 */
import * as errors from '../errors.ts'

/** How code in a bundle reaches the runtime of the slot. */
export const RUNTIME = `globalThis[Symbol.for("dicomp.runtime")]`

/** Every public name of the package that code in a slot can import. */
export const RUNTIME_NAMES: readonly string[] = [
  'distribute',
  'connect',
  'task',
  'transfer',
  'pack',
  'unpack',
  'ERRORS',
  ...Object.keys(errors).filter((name) => name.endsWith('Error')),
]

/** An ES module that stands for the package; a name that is not imported leaves nothing behind. */
export function runtimeModule(): string {
  return RUNTIME_NAMES.map((name) => `export const ${name}=/*@__PURE__*/(()=>${RUNTIME}.${name})();`).join(
    '\n',
  )
}
