import { DecodeError } from '../errors.ts'
import { Decoder, UnpackFailure } from './decoder.ts'
import type { DecodeOptions, Encoded } from './index.ts'

/** The decoder that waits for the next message. `[unpack]` may decode while one is at work. */
let idle: Decoder | undefined

/**
 * The value that `encode` wrote (or the array that `encodeList` wrote). Safe on any bytes: memory and time stay
 * within a small multiple of their size.
 *
 * @throws DecodeError when the bytes are truncated, damaged or hostile; what a static `[unpack]` throws passes through
 */
export function decode(encoded: Encoded, options: DecodeOptions = {}): unknown {
  const decoder = idle ?? new Decoder()
  idle = undefined
  try {
    decoder.begin(encoded, options)
    return decoder.message()
  } catch (error) {
    if (error instanceof UnpackFailure) throw error.error
    if (error instanceof DecodeError) throw error
    // A builtin refused what the bytes say: a broken pattern, a view past the end of its buffer, …
    throw new DecodeError(
      `These are not the bytes of a value: ${error instanceof Error ? error.message : error}`,
    )
  } finally {
    decoder.finish()
    idle = decoder
  }
}
