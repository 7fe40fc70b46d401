/** `distribute`: a function that runs elsewhere. */
import type { Program, Programs } from '../capture/program.ts'
import type { Engine } from '../engine/engine.ts'
import { DicompError } from '../errors.ts'
import { Calls } from './calls.ts'
import type { DetachedJob } from './detached.ts'
import type { Inputs, NumericArray } from './inputs.ts'
import { type Item, Job, type JobParts, type Outcome } from './job.ts'
import {
  type DetachedOptions,
  flag,
  mergeOptions,
  type ResolvedOptions,
  resolveOptions,
  type StreamOptions,
  type TaskOptions,
  wholeNumber,
} from './options.ts'
import { type Duration, show } from './quantities.ts'
import { snapshot } from './snapshot.ts'
import { streamItems } from './stream.ts'

// biome-ignore lint/suspicious/noExplicitAny: a function of any type
export type AnyFunction = (...args: any[]) => unknown

/** The input of a map: the first argument of a function whose other arguments are optional. */
export type InputOf<A extends unknown[]> = A extends []
  ? unknown
  : A extends [infer I, ...infer Rest]
    ? [] extends Rest
      ? I
      : never
    : A extends [(infer I)?, ...unknown[]]
      ? I | undefined
      : A extends (infer I)[]
        ? I
        : never

/** Results of a map over typed numbers: typed again if all of them are numbers. */
export type MapOfNumbers<R> = [R] extends [number]
  ? Float64Array
  : [Extract<R, number>] extends [never]
    ? R[]
    : R[] | Float64Array

/** An item of a stream that also yields failures. */
export type SettledItem<I, R> = { index: number; input: I } & Outcome<R>

/**
 * A function that runs in a slot of an engine. Call it as before: it returns a promise.
 *
 * @example
 * const solve = distribute((seed: number) => search(cities, seed))
 * const tours = await solve.map(seeds)
 */
export interface Distributed<A extends unknown[], R> {
  /** One call. Rejects with what the function threw, or with a DicompError. */
  (...args: A): Promise<R>

  /** Typed numbers in, typed numbers out: a Float64Array when the results are numbers. */
  map(
    inputs: InputOf<A> extends number ? NumericArray : never,
    options?: TaskOptions,
  ): Promise<MapOfNumbers<R>>
  /**
   * One task per input; the results in the order of the inputs. Rejects with the first error, which cancels the
   * rest. Inputs are read while it runs: do not change them before it is done.
   */
  map(inputs: Inputs<InputOf<A>>, options?: TaskOptions): Promise<R[]>

  /** Like `map`, but every task runs, and its error is part of the result. */
  settled(inputs: Inputs<InputOf<A>>, options?: TaskOptions): Promise<Outcome<R>[]>

  /** Results as they complete. Inputs are read lazily, only as far ahead as results are taken (`bufferSize`). */
  stream(
    inputs: Inputs<InputOf<A>>,
    options: StreamOptions & { settled: true },
  ): AsyncGenerator<SettledItem<InputOf<A>, R>, void, undefined>
  stream(
    inputs: Inputs<InputOf<A>>,
    options?: StreamOptions,
  ): AsyncGenerator<Item<InputOf<A>, R>, void, undefined>

  /**
   * Stores a job in the cluster, where it goes on without this program; its id finds it again. Resolves when it is
   * stored. Rejects with OptionError on this computer alone.
   */
  submit(inputs: Inputs<InputOf<A>>, options: DetachedOptions): Promise<DetachedJob<R>>
  /** Starts a job and returns its handle at once. Every task runs, whatever becomes of the others. */
  submit(inputs: Inputs<InputOf<A>>, options?: TaskOptions): Job<R>

  /** The same function with other options. */
  with(options: TaskOptions): Distributed<A, R>

  /** The plain function, called here and now. */
  local(...args: A): R | Promise<R>

  /** Name of the function. */
  readonly name: string
}

/** What a handle is made of; capture finds it when a distributed function is itself captured. */
export interface HandleParts {
  fn: AnyFunction
  /** Of `distribute.module`: where the function comes from. */
  module?: { url: string; exportName: string }
  options: TaskOptions
}

/** Symbol under which a handle has its HandleParts. */
export const HANDLE = Symbol.for('dicomp.handle')

/** What the functions of one cluster share. */
export interface Context {
  engine(): Engine
  programs: Programs<string>
  defaults: Partial<TaskOptions>
  /** Tasks run on other computers, in processes. */
  remote?: boolean
}

/** Handles that are gone end their open-ended job. */
const ends = new FinalizationRegistry<() => void>((end) => end())

interface Source {
  /** The program as it is now. */
  program(): Program | Promise<Program>
  local: AnyFunction
  name: string
  parts: HandleParts
}

/** @internal */
export function createHandle<A extends unknown[], R>(
  context: Context,
  source: Source,
  options: TaskOptions,
): Distributed<A, R> {
  const resolved = resolve(context, options)
  const name = resolved.name ?? source.name
  const calls = new CurrentCalls(context, resolved)
  const handle = (...args: A): Promise<R> => {
    let program: Program | Promise<Program>
    try {
      context.engine().warm(resolved.pool)
      program = source.program()
      if (!(program instanceof Promise)) return calls.of(program).call(args) as Promise<R>
      const since = performance.now()
      const copy = snapshot(args)
      return program.then((ready) => calls.of(ready).call(copy, since)) as Promise<R>
    } catch (error) {
      return Promise.reject(error)
    }
  }
  const parts = (more: TaskOptions, bail: boolean, below: Function): JobParts => {
    const site: { stack?: string } = {}
    Error.captureStackTrace(site, below)
    const merged = resolve(context, mergeOptions(options, more))
    context.engine().warm(merged.pool)
    const program = source.program()
    return { engine: context.engine(), name: merged.name ?? name, program, options: merged, bail, site }
  }
  const map = async (inputs: unknown, more: TaskOptions = {}): Promise<unknown> =>
    new Job<R>(parts(more, true, map), inputs).results()
  const settled = async (inputs: unknown, more: TaskOptions = {}): Promise<Outcome<R>[]> =>
    new Job<R>(parts(more, false, settled), inputs).settled()
  const submit = (
    inputs: unknown,
    more: TaskOptions & Partial<DetachedOptions> = {},
  ): Job<R> | Promise<DetachedJob<R>> => {
    // Spread, anything would be an object.
    if (typeof more !== 'object' || more === null || Array.isArray(more)) mergeOptions({}, more)
    const { detached = false, keep, ...rest } = more
    flag('detached', detached)
    if (detached) return submitLater(() => parts(rest, false, submit), inputs, keep)
    if (keep !== undefined) mergeOptions({}, { keep } as TaskOptions)
    return new Job(parts(rest, false, submit), inputs)
  }
  const stream = (
    inputs: unknown,
    more: StreamOptions & { settled?: boolean } = {},
  ): AsyncGenerator<unknown, void, undefined> => {
    const { ordered = false, bufferSize, settled: both = false, ...rest } = more
    flag('ordered', ordered)
    flag('settled', both)
    if (bufferSize !== undefined) wholeNumber('bufferSize', bufferSize, 1)
    const started = parts(rest, !both, stream)
    // It may never be iterated: nobody would hear of a function that cannot be bundled.
    if (started.program instanceof Promise) started.program.catch(() => {})
    const items = streamItems<unknown, R>(started, inputs, ordered, bufferSize)
    return both ? settledItems(items) : items
  }
  const properties = {
    map,
    settled,
    stream,
    submit,
    with: (more: TaskOptions) => createHandle<A, R>(context, source, mergeOptions(options, more)),
    local: source.local,
  }
  Object.assign(handle, properties)
  Object.defineProperty(handle, 'name', { value: name, configurable: true })
  Object.defineProperty(handle, HANDLE, { value: { ...source.parts, options } })
  ends.register(handle, () => calls.end())
  return handle as unknown as Distributed<A, R>
}

/** Other computers have processes for it, whatever was asked for. */
function resolve({ defaults, remote }: Context, options: TaskOptions): ResolvedOptions {
  const resolved = resolveOptions(options, defaults)
  if (remote) resolved.pool.isolation = 'process'
  return resolved
}

/** The open-ended job of a handle's single calls; another one when the captured values have changed. */
class CurrentCalls {
  readonly #context: Context
  readonly #options: ResolvedOptions
  #calls: Calls | undefined

  constructor(context: Context, options: ResolvedOptions) {
    this.#context = context
    this.#options = options
  }

  of(program: Program): Calls {
    if (this.#calls?.program.id === program.id) return this.#calls
    this.#calls?.end()
    this.#calls = new Calls(this.#context.engine(), program, this.#options)
    return this.#calls
  }

  end(): void {
    this.#calls?.end()
  }
}

/** What detached jobs need is loaded with the first of them. */
async function submitLater<R>(
  parts: () => JobParts,
  inputs: unknown,
  keep: Duration | undefined,
): Promise<DetachedJob<R>> {
  const ready = parts()
  // It is awaited after the import.
  if (ready.program instanceof Promise) ready.program.catch(() => {})
  const { submitDetached } = await import('./detached.ts')
  return submitDetached<R>(ready, inputs, keep)
}

async function* settledItems<I, R>(
  items: AsyncIterable<Item<I, R> & { failed?: true; error?: unknown }>,
): AsyncGenerator<SettledItem<I, R>, void, undefined> {
  for await (const { index, input, value, failed, error } of items) {
    yield failed
      ? { index, input, status: 'rejected', reason: error }
      : { index, input, status: 'fulfilled', value }
  }
}

/** The handle of a function value. Throws DicompError when it is none. */
export function distributeFunction<A extends unknown[], R>(
  context: Context,
  fn: (...args: A) => R,
  options: TaskOptions,
  site: string | undefined,
): Distributed<A, Awaited<R>> {
  if (typeof fn !== 'function') {
    throw new DicompError('DICOMP_E_NOT_A_FUNCTION', `distribute() takes a function, got ${show(fn)}`, {
      fix: 'wrap the call: distribute((input) => work(input))',
    })
  }
  const again = (fn as { [HANDLE]?: HandleParts })[HANDLE]
  if (again?.module) {
    const { url, exportName } = again.module
    return distributeModule(context, url, exportName, { ...again.options, ...options })
  }
  if (again) return distributeFunction(context, again.fn as typeof fn, { ...again.options, ...options }, site)
  const source: Source = {
    program: () => context.programs.prepare(fn, site),
    local: fn as AnyFunction,
    name: fn.name,
    parts: { fn: fn as AnyFunction, options },
  }
  return createHandle<A, Awaited<R>>(context, source, options)
}

/** The handle of an exported function of a module that is not loaded here. */
export function distributeModule<A extends unknown[], R>(
  context: Context,
  url: URL | string,
  exportName: string,
  options: TaskOptions,
): Distributed<A, Awaited<R>> {
  const local = async (...args: unknown[]): Promise<unknown> => {
    const module = (await import(String(url))) as Record<string, AnyFunction>
    return (module[exportName] as AnyFunction)(...args)
  }
  const program = (): Program | Promise<Program> => context.programs.prepareModule(url, exportName)
  const parts: HandleParts = { fn: local, module: { url: String(url), exportName }, options }
  return createHandle<A, Awaited<R>>(context, { program, local, name: exportName, parts }, options)
}
