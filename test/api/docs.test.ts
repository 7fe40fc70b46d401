// The examples of docs/api.md run as they stand, and print what they say.
import { readFileSync } from 'node:fs'
import { transform } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { run } from './helpers.ts'

const text = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8')

interface Example {
  title: string
  code: string
  /** What follows `//>`, a line each. */
  output: string
}

function examples(): Example[] {
  const found: Example[] = []
  for (const match of text.matchAll(/```ts runnable\n([\s\S]*?)```/g)) {
    const code = match[1] as string
    const headings = text.slice(0, match.index).match(/^#+ .*$/gm) ?? []
    const output = [...code.matchAll(/\/\/> (.*)/g)].map(([, line]) => `${line}\n`).join('')
    found.push({ title: headings.at(-1) ?? '', code, output })
  }
  return found
}

describe('docs/api.md', () => {
  it('has examples', () => {
    expect(examples().length).toBeGreaterThan(10)
  })

  it.each(examples())('$title', async ({ code, output }) => {
    const { code: js } = await transform(code, { loader: 'ts', format: 'esm', target: 'node20.19' })
    expect(await run(js)).toEqual({ code: 0, stdout: output, stderr: '' })
  })

  it('names every option and every member of a job', () => {
    const source = (file: string): string =>
      readFileSync(new URL(`../../src/api/${file}`, import.meta.url), 'utf8')
    const [options = ''] = source('options.ts').split('/** Options after the check. */')
    const [, job = ''] = source('job.ts').split('export class Job<R> {')
    const [members = ''] = job.split('\n}\n')
    const names = [
      ...options.matchAll(/^ {2}(\w+)\?: /gm),
      ...members.matchAll(/^ {2}(?:(?:async|get|readonly) )*(\w+)(?:\(|: )/gm),
    ]
    expect(names.length).toBeGreaterThan(25)
    const missing = names.flatMap(([, name = '']) =>
      name === 'constructor' || new RegExp(`\`[^\`\n]*\\b${name}\\b`).test(text) ? [] : [name],
    )
    expect(missing).toEqual([])
  })
})
