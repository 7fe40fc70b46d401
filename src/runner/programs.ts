/** The code that a slot has loaded: bundle plus captured values = a function that can be called. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { decode, type Entities } from '../codec/index.ts'
import { LoadError } from '../errors.ts'
import type { SlotProgram } from '../slot/protocol.ts'
import { registerNatives } from './natives.ts'

type Fn = (...args: unknown[]) => unknown

export interface LoadedProgram {
  fn: Fn
  entities: Entities
  /** Whether calls return promises: known for async functions, otherwise learnt from the first call. */
  asynchronous: boolean | undefined
}

/** Every bundle's default export (see capture/types.ts, `Entry`). */
type Instantiate = (decodeEnv: (entities: (Function | undefined)[]) => unknown) => {
  fn: Fn
  entities: (Function | undefined)[]
}

export class Programs {
  readonly #programs = new Map<number, LoadedProgram | LoadError | Promise<LoadedProgram | LoadError>>()

  load(program: SlotProgram): void {
    const loading = load(program).then((loaded) => {
      if (this.#programs.get(program.id) === loading) this.#programs.set(program.id, loaded)
      return loaded
    })
    this.#programs.set(program.id, loading)
  }

  unload(id: number): void {
    this.#programs.delete(id)
  }

  get(id: number): LoadedProgram | LoadError | Promise<LoadedProgram | LoadError> {
    return this.#programs.get(id) ?? new LoadError(`The slot was never sent program ${id}`)
  }
}

async function load(program: SlotProgram): Promise<LoadedProgram | LoadError> {
  try {
    registerNatives(program.natives)
    const module = (await import(pathToFileURL(program.file).href)) as { default: Instantiate }
    let known: (Function | undefined)[] = []
    const indexes = new Map<Function, number>()
    const entities: Entities = {
      indexOf: (fn) => indexes.get(fn),
      at: (index) => known[index],
    }
    const made = module.default((list) => {
      known = list
      return decode(program.env, { entities })
    })
    known = made.entities
    made.entities.forEach((fn, index) => {
      if (fn) indexes.set(fn, index)
    })
    const asynchronous = made.fn?.constructor?.name === 'AsyncFunction' ? true : undefined
    if (typeof made.fn !== 'function') {
      return new LoadError(`'${program.name}' is not a function in the slot, it is ${typeof made.fn}`)
    }
    return { fn: made.fn, entities, asynchronous }
  } catch (error) {
    if (error instanceof LoadError) return error
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return new LoadError(`The code of '${program.name}' could not be loaded: ${why}`, { cause: error })
  }
}

/** `require` that resolves as the runner's own file would; natives bring absolute paths. */
export const slotRequire = createRequire(import.meta.url)
