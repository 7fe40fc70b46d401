/** The graph of everything that a function needs: the nodes that `walk` finds and `emit` writes. */
import type { Callable } from './ast.ts'
import type { Code } from './freevars.ts'
import type { Trail } from './refuse.ts'
import type { Target } from './resolve.ts'
import type { Script } from './script.ts'
import type { CaptureWarning } from './types.ts'

/** How a captured value may differ at the next call: not at all, inside, or the variable gets another one. */
export type Change = 'fixed' | 'values' | 'bindings'

/** A function or class that both ends know; its index in the graph is how the codec names it. */
export type Entity = CodeEntity | NamedEntity | ImportEntity | BoundEntity | HandleEntity

interface Common {
  fn: Callable
  index: number
  trail: Trail
  /** The name that it would like to have in the entry. */
  preferred: string
}

/** Travels as text. */
export interface CodeEntity extends Common {
  kind: 'code'
  code: Code
  /** Offset of the text in `script`, once that was needed. */
  position: { script: Script; start: number } | undefined
  /** What the free names of the text stand for; a name that is missing is a global. */
  uses: Map<string, Use>
  /** Replacements in the text, by offset. */
  edits: Edit[]
  /** What the class or constructor inherits from. */
  parent: Entity | undefined
  /** A constructor written as a function: its prototype is linked to the parent's afterwards. */
  linked: boolean
  /** Live values of the static private fields of a class. */
  privates: { names: string[]; slot: Slot } | undefined
}

export interface Edit {
  start: number
  end: number
  /** Text, or something whose name is known when the entry is written. */
  to: string | Named
}

/** Every process has it under a name: `Math.max`. */
export interface NamedEntity extends Common {
  kind: 'named'
  expression: string
}

/** Comes from a module. */
export interface ImportEntity extends Common {
  kind: 'import'
  module: ModulePath
}

/** What `bind` returned. */
export interface BoundEntity extends Common {
  kind: 'bound'
  target: Entity | undefined
  /** `[receiver, arguments]` */
  slot: Slot
}

/** What `distribute` returned; the slot makes a handle of its own for the same function. */
export interface HandleEntity extends Common {
  kind: 'handle'
  target: Entity | undefined
  /** Of `distribute.module`: the slot refers to the same module. */
  module: { url: string; exportName: string } | undefined
  options: unknown
  /** Functions inside the options. */
  functions: Map<Callable, Entity>
}

/** A part of a module: all of it, an export, a property of an export. */
export interface ModulePath {
  target: Target
  path: string[]
  form: 'import' | 'require'
}

/** Something that has a name in the entry. */
export type Named = Slot | Alias | ModuleUse | Entity

/** A variable with a value. */
export interface Slot {
  kind: 'slot'
  preferred: string
  trail: Trail
  value: unknown
  /** Reads the value anew where that is possible without the inspector. */
  read: (() => unknown) | undefined
  change: Change
}

/** A variable that holds a function or class and keeps doing so. */
export interface Alias {
  kind: 'alias'
  preferred: string
  entity: Entity
}

/** A module, or a part of one that is no function, by reference. */
export interface ModuleUse {
  kind: 'module'
  preferred: string
  module: ModulePath
  /** Plain data of it, which goes by value. */
  overrides: Map<string, Slot>
}

/** What a free name stands for. `members`: a namespace of which only these names are used. */
export type Use =
  | Slot
  | Alias
  | ModuleUse
  | { kind: 'members'; members: Map<string, Slot | Alias | ModuleUse> }

export interface Graph {
  root: Entity
  /** Directory from which the entry's imports resolve. */
  dir: string
  entities: Entity[]
  slots: Slot[]
  warnings: CaptureWarning[]
  /** Some text loads modules (`import()`, `require()`). */
  loads: boolean
  change: Change
}
