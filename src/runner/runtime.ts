/** What bundled code finds of the library inside a slot (see capture/runtime-names.ts for the names). */
import { createRequire } from 'node:module'
import { pack, transfer, unpack } from '../codec/index.ts'
import type { Engine } from '../engine/engine.ts'
import * as errors from '../errors.ts'
import { RUNTIME } from '../task.ts'
import { requireNative } from './natives.ts'
import type { Port } from './port.ts'
import { createTask } from './task.ts'

/** Functions of the library that a slot rarely needs; the file that has them is loaded with the first use. */
interface Library {
  createApi(
    engine: Engine,
    defaults: { isolation: 'thread' | 'process' },
  ): { distribute: Function; connect: Function }
}

export function installRuntime(port: Port, engine: Engine): void {
  let api: ReturnType<Library['createApi']> | undefined
  const library = (): ReturnType<Library['createApi']> => {
    // Nested tasks run in slots like this one; of the rest their owner knows more (engine/nested.ts).
    api ??= (createRequire(import.meta.url)('./library.cjs') as Library).createApi(engine, {
      isolation: port.isolation,
    })
    return api
  }
  const distribute = (...args: unknown[]): unknown => library().distribute(...args)
  const module = (...args: unknown[]): unknown =>
    (library().distribute as unknown as { module: Function }).module(...args)
  const runtime = {
    ...errors,
    task: createTask(port),
    native: requireNative,
    transfer,
    pack,
    unpack,
    distribute: Object.assign(distribute, { module }),
    connect: (...args: unknown[]): unknown => library().connect(...args),
  }
  Object.defineProperty(globalThis, RUNTIME, { value: runtime })
}
