/** A cluster: an engine and what is distributed on it. The default one is this computer. */
import { availableParallelism } from 'node:os'
import { capture } from '../capture/capture.ts'
import { Programs } from '../capture/program.ts'
import type { Engine } from '../engine/engine.ts'
import { LocalEngine } from '../engine/local.ts'
import {
  type AnyFunction,
  type Context,
  type Distributed,
  distributeFunction,
  distributeModule,
} from './distribute.ts'
import { checkNames, resolveOptions, type TaskOptions, wholeNumber } from './options.ts'
import type { Size } from './quantities.ts'

/** How `connect` sets up an engine of its own. */
export interface ConnectOptions {
  /** Slots that run at the same time, from 1. @default the number of cores that this process may use */
  slots?: number
  /** What the slots are. @default 'thread' */
  isolation?: 'thread' | 'process'
  /** Memory that one slot may use, see docs/isolation.md. @default its share of 75 % of this computer's, heap only */
  memory?: Size
  /** Environment variables of the slots, beside the usual ones. */
  env?: Record<string, string>
}

const CONNECT_NAMES: Record<keyof ConnectOptions, true> = {
  slots: true,
  isolation: true,
  memory: true,
  env: true,
}

/** `distribute`, and `distribute.module` for where a function value cannot be captured. */
export interface Distribute {
  /** Wraps a function: called, it runs in a slot with all that it captures and imports. Throws DicompError for what is no function. */
  <A extends unknown[], R>(fn: (...args: A) => R, options?: TaskOptions): Distributed<A, Awaited<R>>
  /**
   * The exported function `exportName` of a module, which is bundled as it is and never loaded here.
   * @param url absolute, usually `new URL('./task.ts', import.meta.url)`
   * @param exportName @default 'default'
   */
  module<F extends AnyFunction = AnyFunction>(
    url: URL | string,
    exportName?: string,
    options?: TaskOptions,
  ): Distributed<Parameters<F>, Awaited<ReturnType<F>>>
}

/** An engine with its slots. */
export class Cluster {
  /** Like the top-level `distribute`, on this cluster. */
  readonly distribute: Distribute
  readonly #engine: Engine

  /** @internal */
  constructor(engine: Engine, defaults: Partial<TaskOptions> = {}) {
    this.#engine = engine
    this.distribute = createDistribute({ engine: () => engine, programs: newPrograms(), defaults })
  }

  /** Tasks that can run at the same time. */
  get slots(): number {
    return this.#engine.slots
  }

  /** Ends all slots; work that is left fails with ClosedError. */
  close(): Promise<void> {
    return this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** An engine of its own on this computer. Throws OptionError. */
export async function connect(options: ConnectOptions = {}): Promise<Cluster> {
  checkNames(options, CONNECT_NAMES, 'options of connect()')
  const { slots = availableParallelism(), isolation, memory, env } = options
  const defaults: Partial<TaskOptions> = {}
  if (isolation !== undefined) defaults.isolation = isolation
  if (memory !== undefined) defaults.memory = memory
  if (env !== undefined) defaults.env = env
  resolveOptions({}, defaults)
  return new Cluster(new LocalEngine({ slots: wholeNumber('slots', slots, 1) }), defaults)
}

/** `distribute` on an engine; `engine` is asked for with the first task. */
export function createDistribute(context: Context): Distribute {
  const distribute = <A extends unknown[], R>(fn: (...args: A) => R, options: TaskOptions = {}) =>
    distributeFunction(context, fn, options, callSite(distribute))
  const module = (url: URL | string, exportName = 'default', options: TaskOptions = {}) =>
    distributeModule(context, url, exportName, options)
  return Object.assign(distribute, { module }) as unknown as Distribute
}

const warned = new Set<string>()

/**
 * Programs of function values.
 * @param warn print what capture warns of, as Node.js prints its own warnings, each once
 */
export function newPrograms(warn = true): Programs<string> {
  return new Programs((fn, { site }) => {
    const captured = capture(fn, site === undefined ? {} : { site })
    for (const warning of warn ? captured.warnings : []) {
      const { reason, message } = warning
      if (warned.has(message)) continue
      warned.add(message)
      process.emitWarning(`${message} (${warning.at})`, { type: 'DicompWarning', code: `DICOMP_W_${reason}` })
    }
    return captured
  })
}

let shared: Engine | undefined
const sharedContext: Context = {
  engine: () => (shared ??= new LocalEngine({ slots: availableParallelism() })),
  programs: newPrograms(),
  defaults: {},
}

/** Wraps a function so that its calls run on every core of this computer. */
export const distribute: Distribute = createDistribute(sharedContext)

/** The file that calls `distribute`, in which capture looks first; only a guess, so it may be missing. */
function callSite(below: Function): string | undefined {
  const site: { stack?: string } = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 1
  Error.captureStackTrace(site, below)
  Error.stackTraceLimit = limit
  return /(?:\(|at )((?:file:\/\/)?\/.*|[a-zA-Z]:\\.*):\d+:\d+\)?$/
    .exec(site.stack ?? '')?.[1]
    ?.replace(/^.*\((?=\/|file:)/, '')
}
