import { createRequire } from 'node:module'

/** Absolute path of the file that runs inside a slot. The package's own `imports` name it, from src/ and from dist/. */
let file: string | undefined
export function runnerFile(): string {
  file ??= createRequire(import.meta.url).resolve('#runner')
  return file
}
