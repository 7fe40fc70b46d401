import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { project, root, temporary } from './setup.ts'

function program(files: Record<string, string>): { dir: string; env: NodeJS.ProcessEnv } {
  const dir = project({ 'package.json': '{"type":"module"}', ...files })
  mkdirSync(join(dir, 'node_modules'))
  symlinkSync(root, join(dir, 'node_modules', 'dicomp'))
  return { dir, env: { ...process.env, DICOMP_CACHE_DIR: temporary('cache') } }
}

it('refuses a function whose imports lead back to the main program', () => {
  const { dir, env } = program({
    'main.js': `
      import { distribute } from 'dicomp'
      import { twice } from './helper.js'
      export const factor = 2
      console.log('the program runs')
      await distribute((n) => twice(n))(21).catch((error) => console.log(error.code, error.message))`,
    'helper.js': `import { factor } from './main.js'\nexport const twice = (n) => n * factor`,
  })
  const output = execFileSync(process.execPath, ['main.js'], { cwd: dir, env, encoding: 'utf8' })
  expect(output.match(/the program runs/g)).toHaveLength(1)
  expect(output).toContain('DICOMP_E_BUNDLE')
  expect(output).toContain(`${join(dir, 'helper.js')} imports ${join(dir, 'main.js')}`)
})

it('warns once that an assignment to a captured variable stays in the slot', () => {
  const { dir, env } = program({
    'main.js': `
      import { distribute } from 'dicomp'
      let count = 0
      const add = distribute((n) => { count += n; return count })
      console.log(await add(1), await add(1), count)`,
  })
  const { stdout, stderr } = spawnSync(process.execPath, ['main.js'], { cwd: dir, env, encoding: 'utf8' })
  expect(stdout).toMatch(/ 0\n$/)
  expect(stderr.match(/DICOMP_W_WRITES_CAPTURED/g)).toHaveLength(1)
  expect(stderr).toContain(`'count' is assigned inside the distributed function`)
  expect(stderr).toContain('main.js:4:')
})
