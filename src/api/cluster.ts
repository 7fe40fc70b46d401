/** A cluster: an engine and what is distributed on it. */
import { capture } from '../capture/capture.ts'
import { Programs } from '../capture/program.ts'
import type { Engine, NodeInfo } from '../engine/engine.ts'
import type { DetachedInfo, DetachedJob } from './detached.ts'
import {
  type AnyFunction,
  type Context,
  type Distributed,
  distributeFunction,
  distributeModule,
} from './distribute.ts'
import type { TaskOptions } from './options.ts'

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

  /**
   * @param remote tasks run on other computers
   * @internal
   */
  constructor(engine: Engine, defaults: Partial<TaskOptions> = {}, remote = false) {
    this.#engine = engine
    this.distribute = createDistribute({ engine: () => engine, programs: newPrograms(), defaults, remote })
  }

  /** Tasks that can run at the same time. */
  get slots(): number {
    return this.#engine.slots
  }

  /** The nodes of the cluster as of their last heartbeats (at most a second old); none where it is this computer. */
  nodes(): NodeInfo[] {
    return this.#engine.nodes?.() ?? []
  }

  /** What tasks wait for and how long, for people; undefined when none has to. Only tasks of clusters say. */
  waiting(): string | undefined {
    return this.#engine.waiting?.()
  }

  /** The detached job with this id. Rejects with JobError when there is none (any more). */
  async job<R = unknown>(id: string): Promise<DetachedJob<R>> {
    const { findDetached } = await import('./detached.ts')
    return (await findDetached(this.#engine, id)) as DetachedJob<R>
  }

  /** The detached jobs of the cluster, the latest last. */
  async jobs(): Promise<DetachedInfo[]> {
    const { listDetached } = await import('./detached.ts')
    return listDetached(this.#engine)
  }

  /** Ends all slots (those of a cluster stop what they run for this program); work that is left fails with ClosedError. */
  close(): Promise<void> {
    return this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
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
