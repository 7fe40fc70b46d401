/** Arguments and results of a chunk on their way through the wire. */
import {
  decode,
  type Encoded,
  type EncodeOptions,
  encodeList,
  packNumbers,
  sendable,
} from '../codec/index.ts'
import { EncodeError, OutOfMemoryError } from '../errors.ts'
import { FEW_NUMBERS } from '../slot/payload.ts'
import type { Payload } from '../slot/protocol.ts'
import type { Port } from './port.ts'
import type { LoadedProgram } from './programs.ts'

export function decodePayload(payload: Payload, program: LoadedProgram): ArrayLike<unknown> {
  const options = { entities: program.entities }
  if (payload.kind === 'f64') return payload.values
  if (payload.lists.length === 1) return decode(payload.lists[0] as Encoded, options) as unknown[]
  return payload.lists.flatMap((list) => decode(list, options) as unknown[])
}

/**
 * Results of a chunk. Those that cannot travel become errors of their own task; their neighbours are not affected.
 * @param failed offsets of results that are errors; more may be added
 */
export function encodeResults(
  results: unknown[],
  failed: number[],
  program: LoadedProgram | undefined,
  port: Port,
): Payload {
  if (failed.length === 0) {
    const numbers = packNumbers(results, 0, results.length)
    if (numbers)
      return { kind: 'f64', values: results.length <= FEW_NUMBERS ? (results as number[]) : numbers }
  }
  for (const offset of failed) results[offset] = outOfMemory(results[offset], port)
  const shared = port.isolation === 'thread'
  const options = { path: 'result', shared, ...(program ? { entities: program.entities } : {}) }
  try {
    const { encoded, failed: refused } = encodeList(results, options)
    const payload: Payload = { kind: 'any', lists: [encoded] }
    if (refused.length === 0 && port.room(payload)) return payload
    for (const { index, error } of refused) replace(results, failed, index, error, options)
    if (refused.length > 0) return encodeResults(results, failed, program, port)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    // The bytes of all together are more than a buffer can hold.
  }
  for (let offset = 0; offset < results.length; offset++) {
    const reason = refusal(results[offset], options, port)
    if (!reason) continue
    replace(results, failed, offset, reason, options)
    if (refusal(results[offset], options, port)) results[offset] = reason
  }
  return { kind: 'any', lists: [encodeList(results, options).encoded] }
}

function replace(
  results: unknown[],
  failed: number[],
  offset: number,
  reason: Error,
  options: EncodeOptions,
): void {
  // What the task threw is worth more than that it cannot travel as it is.
  if (failed.includes(offset)) {
    const thrown = results[offset]
    results[offset] = thrown instanceof Error ? sendable(thrown, options) : reason
  } else {
    results[offset] = reason
    failed.push(offset)
  }
}

/** Why a result is too large to travel; undefined when it is not. */
function refusal(result: unknown, options: Parameters<typeof encodeList>[1], port: Port): Error | undefined {
  const tooLarge = (): Error =>
    new EncodeError(
      'result',
      'it is larger than what a slot can send at once (2 GB)',
      "write it to a file and return its path, or return it in parts; isolation: 'thread' moves buffers of any size",
    )
  try {
    const payload: Payload = { kind: 'any', lists: [encodeList([result], options).encoded] }
    return port.room(payload) ? undefined : tooLarge()
  } catch (error) {
    if (error instanceof RangeError) return tooLarge()
    throw error
  }
}

/** The system refused a buffer: that is lack of memory like any other. */
function outOfMemory(thrown: unknown, port: Port): unknown {
  if (!(thrown instanceof RangeError)) return thrown
  const { code } = thrown as { code?: string }
  const refused = /allocation failed/i.test(thrown.message) || code === 'ERR_MEMORY_ALLOCATION_FAILED'
  if (!refused) return thrown
  return new OutOfMemoryError(`A task ran out of memory: ${thrown.message}`, port.memory, thrown)
}
