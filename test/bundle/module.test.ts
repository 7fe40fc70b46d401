import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import { moduleEntry, moduleTaskName } from '../../src/capture/module.ts'
import { BundleError } from '../../src/errors.ts'
import { inOtherProcess, load, ownCache, project } from './setup.ts'

ownCache()

const TASK = `import { double } from './double.ts'
export default async function main(n: number) { return double(n) }
export const half = (n: number): number => n / 2
export const 名前 = () => 'unicode'
export const notCallable = 42
export class Thing {}
`

function taskProject(): string {
  return project({
    'task.ts': TASK,
    'double.ts': 'export const double = (n: number) => n * 2',
    'old.cjs': 'exports.f = (n) => n + 1',
  })
}

describe('a function of a module', () => {
  test('by URL, by its text, by path', async () => {
    const dir = taskProject()
    const file = join(dir, 'task.ts')
    for (const url of [pathToFileURL(file), pathToFileURL(file).href, file, relative(process.cwd(), file)]) {
      expect(await (await load(await bundle(moduleEntry(url))))(21)).toBe(42)
    }
    expect((await load(await bundle(moduleEntry(file, 'half'))))(21)).toBe(10.5)
    expect((await load(await bundle(moduleEntry(file, '名前'))))()).toBe('unicode')
    expect((await load(await bundle(moduleEntry(join(dir, 'old.cjs'), 'f'))))(1)).toBe(2)
  })

  test('a second process takes it from the cache; the same module elsewhere has the same hash', async () => {
    const [one, two] = [
      moduleEntry(join(taskProject(), 'task.ts'), 'half'),
      moduleEntry(join(taskProject(), 'task.ts'), 'half'),
    ]
    await new Promise((done) => setTimeout(done, 20)) // files as young as the build are not trusted
    const [first] = await inOtherProcess([one])
    const [again, other] = await inOtherProcess([one, two])
    expect(first).toMatchObject({ sync: false, result: 3.5 })
    expect(again).toMatchObject({ sync: true, result: 3.5 })
    expect(other?.bundle.hash).toBe(first?.bundle.hash)
  })

  test('its name for people', () => {
    expect(moduleTaskName('/a/b/route.task.ts')).toBe('route.task')
    expect(moduleTaskName(new URL('file:///a/b/task.ts'), 'solve')).toBe('solve')
  })
})

describe('clear errors', () => {
  test('no such file', () => {
    expect(() => moduleEntry(new URL('file:///nowhere/task.ts'))).toThrow(BundleError)
    expect(() => moduleEntry('/nowhere/task.ts')).toThrow(
      /There is no module \/nowhere\/task\.ts\n {2}Fix: .*import\.meta\.url/,
    )
    expect(() => moduleEntry('/')).toThrow(BundleError)
    expect(() => moduleEntry('https://example.com/task.ts')).toThrow(/Only modules in files/)
  })

  test('no such export: the ones that there are', async () => {
    const dir = taskProject()
    await expect(bundle(moduleEntry(join(dir, 'task.ts'), 'hallf'))).rejects.toThrow(
      /^task\.ts has no export 'hallf' .*; it exports 'Thing', 'default', 'half', 'notCallable', '名前'/,
    )
    await expect(bundle(moduleEntry(join(dir, 'double.ts')))).rejects.toThrow(
      /^double\.ts has no default export .*; it exports 'double'/,
    )
  })

  test('no function: said where the module is loaded', async () => {
    const dir = taskProject()
    await expect(load(await bundle(moduleEntry(join(dir, 'task.ts'), 'notCallable')))).rejects.toThrow(
      'The export "notCallable" of task.ts is not a function, but number',
    )
    await expect(load(await bundle(moduleEntry(join(dir, 'old.cjs'), 'g')))).rejects.toThrow(
      'The export "g" of old.cjs is not a function, but undefined',
    )
  })
})
