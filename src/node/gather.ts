/** Results of neighbouring tasks as one report. */
import { FEW_NUMBERS } from '../slot/payload.ts'
import type { Delivery, Payload } from '../slot/protocol.ts'
import type { Loss } from './chunk.ts'

/** In the order of the tasks; what was lost stays by itself. */
export function gather(outcomes: (Delivery | Loss)[]): (Delivery | Loss)[] {
  if (outcomes.length < 2) return outcomes.slice()
  const sorted = outcomes.slice().sort((a, b) => a.start - b.start)
  const found: (Delivery | Loss)[] = []
  let run: Delivery[] = []
  const end = (): void => {
    if (run.length > 0) found.push(run.length === 1 ? (run[0] as Delivery) : joined(run))
    run = []
  }
  for (const outcome of sorted) {
    if ('error' in outcome) {
      end()
      found.push(outcome)
      continue
    }
    const before = run[run.length - 1]
    if (before && !follows(before, outcome)) end()
    run.push(outcome)
  }
  end()
  return found
}

function follows(a: Delivery, b: Delivery): boolean {
  return a.start + a.count === b.start && a.attempt === b.attempt && a.payload.kind === b.payload.kind
}

function joined(run: Delivery[]): Delivery {
  const [first] = run as [Delivery]
  const failed: number[] = []
  let count = 0
  let ms = 0
  for (const delivery of run) {
    for (const offset of delivery.failed) failed.push(count + offset)
    count += delivery.count
    ms += delivery.ms ?? 0
  }
  return { ...first, count, failed, ms, payload: joinedPayload(run.map(({ payload }) => payload)) }
}

function joinedPayload(parts: Payload[]): Payload {
  if (parts[0]?.kind !== 'f64')
    return { kind: 'any', lists: parts.flatMap((part) => (part.kind === 'any' ? part.lists : [])) }
  const count = parts.reduce((sum, part) => sum + numbers(part).length, 0)
  if (count <= FEW_NUMBERS) return { kind: 'f64', values: parts.flatMap((part) => Array.from(numbers(part))) }
  const values = new Float64Array(count)
  let at = 0
  for (const part of parts) {
    values.set(numbers(part), at)
    at += numbers(part).length
  }
  return { kind: 'f64', values }
}

const numbers = (payload: Payload): ArrayLike<number> => (payload.kind === 'f64' ? payload.values : [])
