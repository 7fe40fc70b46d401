// Runs captured cases where nothing of the project is around: [{ name, code, env, args }] from the file in argv.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [input, output, library] = process.argv.slice(2)
const { decode, encode, fromFrame, toFrame } = await import(pathToFileURL(library).href)
const dir = mkdtempSync(join(tmpdir(), 'dicomp-fresh-'))
const open = (text) => fromFrame(new Uint8Array(Buffer.from(text, 'base64')))
const results = []
for (const [index, { name, code, env, args }] of JSON.parse(readFileSync(input, 'utf8')).entries()) {
  try {
    const file = join(dir, `${index}.mjs`)
    writeFileSync(file, code)
    const module = await import(pathToFileURL(file).href)
    const { fn, entities } = module.default((all) => decode(open(env), { entities: lookup(all) }))
    const value = await fn(...decode(open(args)))
    results.push({
      name,
      there: Buffer.from(toFrame(encode(value, { entities: lookup(entities) }))).toString('base64'),
    })
  } catch (error) {
    results.push({ name, error: `${error?.stack ?? error}\n${code.length < 4000 ? code : ''}` })
  }
}
writeFileSync(output, JSON.stringify(results))

function lookup(all) {
  const map = new Map(all.map((fn, index) => [fn, index]))
  return { indexOf: (fn) => map.get(fn), at: (index) => all[index] }
}
