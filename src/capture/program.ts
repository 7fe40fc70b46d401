/**
 * Programs: what the engine sends to slots, made from function values with as little work as possible. A function
 * is captured when it is first submitted; after that only what can have changed is looked at again.
 */
import type { Encoded, Entities } from '../codec/index.ts'
import { EncodeError } from '../errors.ts'
import { bundle as bundleEntry } from './bundle.ts'
import { moduleEntry, moduleTaskName } from './module.ts'
import type { Bundle, Captured, CaptureWarning, Entry } from './types.ts'

/** A function that slots can run: code, captured values, and the names of what both ends know. */
export interface Program {
  /** Unique in this process: equal ids mean equal code and equal captured values. */
  id: number
  /** Name of the function for people. */
  name: string
  bundle: Bundle
  /** The captured values, a copy that nothing changes any more. */
  env: Encoded
  entities: Entities
  warnings: CaptureWarning[]
}

/** Where the function was given to dicomp, as capture wants it; passed through. */
export type CaptureFunction<Site> = (fn: Function, context: { site: Site | undefined }) => Captured

type Bundler = (entry: Entry) => Bundle | Promise<Bundle>

/** A function that may be captured again, with what it was the last time. */
interface Kept {
  captured: Captured
  program: Program
}

const NO_ENV: Encoded = { bytes: new Uint8Array(0), attachments: [] }
const NO_ENTITIES: Entities = { indexOf: () => undefined, at: () => undefined }
let lastId = 0

/** All programs of one user of the engine. Holds a program as long as its function is alive. */
export class Programs<Site = unknown> {
  readonly #capture: CaptureFunction<Site>
  readonly #bundle: Bundler
  /** Functions whose program cannot change: the path of every call but the first. */
  readonly #fixed = new WeakMap<Function, Program>()
  readonly #kept = new WeakMap<Function, Kept>()
  readonly #first = new WeakMap<Function, Promise<Program>>()
  readonly #modules = new Map<string, Program | Promise<Program>>()

  constructor(capture: CaptureFunction<Site>, bundle: Bundler = bundleEntry) {
    this.#capture = capture
    this.#bundle = bundle
  }

  /**
   * The program of a function as it is now: a snapshot of what it captures. A promise only when its code has to be
   * bundled; the snapshot is taken before this returns all the same.
   * @throws {CaptureError} at once; {BundleError} at once or through the promise.
   */
  prepare(fn: Function, site?: Site): Program | Promise<Program> {
    return this.#fixed.get(fn) ?? this.#prepare(fn, site)
  }

  /** The program of an exported function of a module, see `moduleEntry`. */
  prepareModule(url: URL | string, exportName = 'default'): Program | Promise<Program> {
    const key = `${url}\0${exportName}`
    const known = this.#modules.get(key)
    if (known) return known
    const name = moduleTaskName(url, exportName)
    const made = this.#bundle(moduleEntry(url, exportName))
    const program = (bundle: Bundle) => {
      const result = newProgram(name, bundle, NO_ENV, NO_ENTITIES, [])
      this.#modules.set(key, result)
      return result
    }
    if (!(made instanceof Promise)) return program(made)
    const later = made.then(program)
    this.#modules.set(key, later)
    later.catch(() => this.#modules.delete(key)) // the file may be corrected meanwhile
    return later
  }

  #prepare(fn: Function, site: Site | undefined): Program | Promise<Program> {
    const kept = this.#kept.get(fn)
    if (kept?.captured.mutability === 'values') {
      const env = valuesAgain(kept.captured)
      if (env) return this.#again(kept, kept.captured, env)
    }
    const first = this.#first.get(fn)
    if (first) return first

    const captured = this.#capture(fn, { site })
    const { entry, mutability } = captured
    if (mutability !== 'fixed' && kept && sameEntry(kept.captured.entry, entry)) {
      return this.#again(kept, captured, captured.env)
    }
    const env = frozen(captured.env)
    const program = (bundle: Bundle) => {
      const before = this.#kept.get(fn) // of a call that came while the code was bundled
      if (before && mutability !== 'fixed' && sameEntry(before.captured.entry, entry)) {
        return this.#again(before, captured, env)
      }
      const result = newProgram(captured.name, bundle, env, captured.entities, captured.warnings)
      if (mutability === 'fixed') this.#fixed.set(fn, result)
      else this.#kept.set(fn, { captured, program: result })
      return result
    }
    const made = this.#bundle(entry)
    if (!(made instanceof Promise)) return program(made)
    const later = made.then(program)
    if (mutability === 'fixed') {
      this.#first.set(fn, later)
      const forget = () => void this.#first.delete(fn)
      later.then(forget, forget)
    }
    return later
  }

  /**
   * The function was captured before and its code is the same. Other values make a new program; the same values
   * keep the id, though the functions and classes here may be other ones than before.
   */
  #again(kept: Kept, captured: Captured, env: Encoded): Program {
    const before = kept.program
    const same = sameEnv(before.env, env)
    if (!same || captured !== kept.captured) {
      const { entities, warnings } = captured
      const renewed = sameEntities(before.entities, entities) ? before : { ...before, entities }
      kept.program = same
        ? renewed
        : newProgram(captured.name, before.bundle, frozen(env), entities, warnings)
      kept.captured = captured
    }
    return kept.program
  }
}

/** Undefined when the values have come to hold something that the code does not know, such as another function. */
function valuesAgain(captured: Captured): Encoded | undefined {
  try {
    return captured.encodeEnv()
  } catch (error) {
    if (error instanceof EncodeError) return undefined
    throw error
  }
}

function newProgram(
  name: string,
  bundle: Bundle,
  env: Encoded,
  entities: Entities,
  warnings: CaptureWarning[],
): Program {
  return { id: ++lastId, name, bundle, env, entities, warnings }
}

function sameEntry(a: Entry, b: Entry): boolean {
  return a.text === b.text && a.resolveDir === b.resolveDir
}

/** Whether both name the same functions and classes, which capture lists without gaps. */
function sameEntities(a: Entities, b: Entities): boolean {
  for (let i = 0; ; i++) {
    const fn = a.at(i)
    if (fn !== b.at(i)) return false
    if (fn === undefined) return true
  }
}

/** Attachments are the very buffers that the program goes on writing to; slots get them as they are now. */
function frozen({ bytes, attachments }: Encoded): Encoded {
  return {
    bytes: new Uint8Array(bytes), // slice() of a Buffer would be the same memory
    attachments: attachments.map((buffer) => (buffer instanceof ArrayBuffer ? buffer.slice(0) : buffer)),
  }
}

function sameEnv(a: Encoded, b: Encoded): boolean {
  return (
    sameBytes(a.bytes, b.bytes) &&
    a.attachments.length === b.attachments.length &&
    a.attachments.every((buffer, i) =>
      sameBuffer(buffer, b.attachments[i] as ArrayBuffer | SharedArrayBuffer),
    )
  )
}

/** Shared memory has to be the same memory; what is in it is seen by both ends anyway. */
function sameBuffer(a: ArrayBuffer | SharedArrayBuffer, b: ArrayBuffer | SharedArrayBuffer): boolean {
  if (a === b) return true
  if (!(a instanceof ArrayBuffer) || !(b instanceof ArrayBuffer)) return false
  return a.byteLength === b.byteLength && sameBytes(new Uint8Array(a), new Uint8Array(b))
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
