import type { Encoded, Entities } from '../codec/index.ts'

/** What one submission ships: code by content hash, captured values apart from it. */
export interface Captured {
  /** Name of the function for people: its own name, or the variable that it was assigned to. */
  name: string
  /** The code before bundling; equal text means equal bundle. */
  entry: Entry
  /** The captured values, encoded against `entities`. */
  env: Encoded
  /**
   * Functions and classes that both ends know, in an order fixed by `entry`: the live ones of this process here,
   * the ones that the bundle defines in a slot. The codec names them by index.
   */
  entities: Entities
  /** How much may differ at the next call of the same function value; see `Program.current` in program.ts. */
  mutability: 'fixed' | 'values' | 'bindings'
  /**
   * Encodes the captured values again, when `mutability` is 'values'.
   * @throws {EncodeError} when a function is among them that was not there before: then all has to be captured again.
   */
  encodeEnv(): Encoded
  warnings: CaptureWarning[]
}

export interface CaptureWarning {
  reason: 'WRITES_CAPTURED' | 'PROCESS_STATE'
  message: string
  /** `file:line:column` */
  at: string
}

/**
 * An ES module text whose default export is
 * `(decodeEnv: (entities: (Function | undefined)[]) => unknown) => { fn: Function, entities: Function[] }`.
 */
export interface Entry {
  text: string
  /** Directory from which bare and relative imports of `text` resolve. */
  resolveDir: string
  /** The file of the distributed function, which the code that it imports must not import in turn. */
  home?: string | undefined
  /** Whether `text` has any import; without one it needs no bundler. */
  hasImports: boolean
  /** Source map (v3, JSON-able) from `text` straight to the sources that were written; absolute paths or file URLs. */
  map: () => object | undefined
}

/** Code that a slot can load: one self-contained ES module file. */
export interface Bundle {
  /** Hex SHA-256 of the code, first 32 characters. */
  hash: string
  /** Absolute path of the file `<hash>.mjs` in the cache of this computer. */
  file: string
  /** Size of the code in bytes. */
  size: number
  /** Native packages that the code requires: resolved on the computer that runs it. */
  natives: NativePackage[]
}

export interface NativePackage {
  name: string
  version: string
  /** Where this computer has it; what the local engine's slots load. */
  path: string
  /** The bundle works without it. */
  optional: boolean
}
