// Runs a suite under whatever loader this process has: captures every case, and writes what a fresh process needs.
import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [suite, out, library] = process.argv.slice(2)
const { capture, encode, toFrame } = await import(pathToFileURL(library).href)
const module = await import(pathToFileURL(suite).href)
const cases = module.cases ?? module.default.cases
const results = []
for (const [name, fn, ...args] of cases) {
  try {
    const captured = capture(fn, { site: suite })
    const value = await fn(...args)
    const { text, resolveDir, hasImports } = captured.entry
    const frame = (each) => Buffer.from(toFrame(each)).toString('base64')
    results.push({
      name,
      text,
      resolveDir,
      hasImports,
      env: frame(captured.env),
      args: frame(encode(args)),
      here: frame(encode(value, { entities: captured.entities })),
      mutability: captured.mutability,
    })
  } catch (error) {
    results.push({ name, error: error.stack })
  }
}
writeFileSync(out, JSON.stringify(results))
