import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, it } from 'vitest'

it('the public types accept what is right and refuse what is wrong', () => {
  const tsc = createRequire(import.meta.url)
    .resolve('typescript/package.json')
    .replace('package.json', 'bin/tsc')
  const project = join(import.meta.dirname, 'tsconfig.json')
  let output = ''
  try {
    output = execFileSync(process.execPath, [tsc, '-p', project, '--noEmit'], { encoding: 'utf8' })
  } catch (error) {
    output = (error as { stdout: string }).stdout
  }
  expect(output).toBe('')
})
