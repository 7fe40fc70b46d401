/** Cutting payloads. */
import type { Payload } from './protocol.ts'

/** Up to this many numbers travel faster as a plain array than as a buffer of their own, and integers stay integers. */
export const FEW_NUMBERS = 32

/**
 * The part of a payload that belongs to `count` tasks from offset `from`. A payload of lists must have one list
 * per task (`JobClient.arguments` with `separate`).
 */
export function slicePayload(payload: Payload, from: number, count: number): Payload {
  if (payload.kind === 'f64') return { kind: 'f64', values: payload.values.slice(from, from + count) }
  return { kind: 'any', lists: payload.lists.slice(from, from + count) }
}
