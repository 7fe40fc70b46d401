/** What tasks need of a node, and whether it has that. */
import { createHash } from 'node:crypto'
import type { Need } from './messages.ts'
import { ANY } from './subjects.ts'

/** The need as a token of a subject: `any`, or a hash. Equal needs have equal keys. */
export function needKey(need: Need): string {
  const tags = [...new Set(need.tags)].sort()
  if (tags.length === 0 && need.memory === undefined) return ANY
  const text = JSON.stringify([tags, need.memory ?? null])
  return `n${createHash('sha256').update(text).digest('base64url').slice(0, 20)}`
}

/** @param node its tags, and bytes of memory per slot */
export function meets(need: Need, node: { tags: readonly string[]; memory: number }): boolean {
  return (need.tags ?? []).every((tag) => node.tags.includes(tag)) && (need.memory ?? 0) <= node.memory
}
