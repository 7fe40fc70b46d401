/** A live function value → code and captured values that another process can run. */
import { encode } from '../codec/encode.ts'
import { EncodeError } from '../errors.ts'
import type { Callable } from './ast.ts'
import { emit } from './emit.ts'
import { mapOf } from './map.ts'
import { pathOf } from './sourcemap.ts'
import type { Captured } from './types.ts'
import { isOpaque, Walk } from './walk.ts'

export interface CaptureOptions {
  /** The file that the function stands in, most likely: path or URL of the caller of `distribute()`. A guess only. */
  site?: string
}

/**
 * Takes a snapshot of a function: its code, the code of everything that it uses, and the values of the variables
 * that it closes over. Synchronous. Nothing of the program is executed, except `[pack]` of instances.
 *
 * @throws CaptureError when something that it needs cannot travel; `path` is the way there, `reason` the row of the
 * catalogue in docs/capture.md
 */
export function capture(fn: Callable, options: CaptureOptions = {}): Captured {
  const walk = new Walk(fn, options.site === undefined ? undefined : pathOf(options.site))
  const env = walk.run()
  const { text, hasImports, pieces } = emit(walk)
  const open = new Map(
    walk.entities.filter((entity) => !isOpaque(entity)).map((entity) => [entity.fn, entity.index]),
  )
  const all = new Map(walk.entities.map((entity) => [entity.fn, entity.index]))
  const at = (index: number) => walk.entities[index]?.fn
  let map: object | undefined
  return {
    name: fn.name || 'distributed',
    entry: {
      text,
      resolveDir: walk.dir,
      home: walk.homeFile,
      hasImports,
      map: () => {
        map ??= walk.afterwards(() => mapOf(pieces, ({ entity }, offset) => walk.placeOf(entity, offset)))
        return map
      },
    },
    env,
    entities: { indexOf: (each) => open.get(each), at },
    mutability: walk.change,
    encodeEnv: () => {
      const onDefined = () => {
        throw new EncodeError(
          'env',
          'there is an accessor in it that was not there before',
          'capture it again',
        )
      }
      const entities = { indexOf: (each: Callable) => all.get(each), at }
      return encode(walk.environment(), { path: 'env', entities, onDefined })
    },
    warnings: walk.warnings,
  }
}
