/** Programs for engines, written by hand: what capture and bundling would make of a function without closures. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encode } from '../../src/codec/index.ts'
import type { SlotProgram } from '../../src/slot/protocol.ts'

let folder: string | undefined
/** Apart from the ids that the API gives in this process. */
let lastId = 1_000_000

/** @param body of a function of `arg` (the only argument) and `task`; `rest` are all arguments */
export function program(body: string): SlotProgram {
  folder ??= mkdtempSync(join(tmpdir(), 'dicomp-engine-'))
  const id = ++lastId
  const file = join(folder, `${id}.mjs`)
  const fn = `async (...rest) => { const [arg] = rest; ${body} }`
  const prelude = "const { task, distribute } = globalThis[Symbol.for('dicomp.runtime')];"
  writeFileSync(file, `${prelude} export default (env) => { env([]); return { fn: ${fn}, entities: [] } }`)
  return { id, name: 'body', file, natives: [], env: encode([]) }
}

export function removePrograms(): void {
  if (folder) rmSync(folder, { recursive: true, force: true })
  folder = undefined
}
