import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { bundle } from '../../src/capture/bundle.ts'
import {
  cacheDir,
  getCode,
  getNote,
  hashOf,
  noteFile,
  putCode,
  putNote,
  sweep,
} from '../../src/capture/cache.ts'
import { BundleError } from '../../src/errors.ts'
import { entryOf, inOtherProcess, load, ownCache, project, root, temporary } from './setup.ts'

const windows = process.platform === 'win32'
const isRoot = process.getuid?.() === 0

/** Whether any user of this computer may read what the other process needs. */
function isPublic(path: string): boolean {
  const open = (statSync(path).mode & 0o001) !== 0
  return open && (dirname(path) === path || isPublic(dirname(path)))
}
const posix = test.skipIf(windows)

beforeEach(() => {
  vi.unstubAllEnvs()
  ownCache()
})

describe('where it is', () => {
  test('DICOMP_CACHE_DIR, then XDG_CACHE_HOME, then the home of the user', () => {
    const [own, xdg, home] = [temporary(), temporary(), temporary()]
    vi.stubEnv('XDG_CACHE_HOME', xdg)
    vi.stubEnv('DICOMP_CACHE_DIR', own)
    expect(cacheDir()).toBe(join(own, 'v1'))
    vi.stubEnv('DICOMP_CACHE_DIR', '')
    expect(cacheDir()).toBe(join(xdg, 'dicomp/v1'))
    vi.stubEnv('XDG_CACHE_HOME', 'not/absolute')
    vi.stubEnv('HOME', home)
    if (process.platform === 'linux') expect(cacheDir()).toBe(join(home, '.cache/dicomp/v1'))
  })

  posix('only this user can look into it', () => {
    const own = temporary()
    mkdirSync(join(own, 'v1'))
    chmodSync(join(own, 'v1'), 0o777)
    vi.stubEnv('DICOMP_CACHE_DIR', own)
    expect(statSync(cacheDir()).mode & 0o777).toBe(0o700)
    const { file } = putCode('private')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(file)).mode & 0o777).toBe(0o700)
  })

  posix('a directory that cannot be written: a private one in the temporary directory', async () => {
    const file = join(temporary(), 'file')
    writeFileSync(file, '')
    vi.stubEnv('TMPDIR', temporary('tmp'))
    vi.stubEnv('DICOMP_CACHE_DIR', join(file, 'below'))
    expect(cacheDir()).toBe(join(tmpdir(), `dicomp-${process.getuid?.()}`, 'v1'))
    expect(statSync(dirname(cacheDir())).mode & 0o777).toBe(0o700)
    const made = await bundle(entryOf('', '(n) => n + 4', temporary()))
    expect(made.file.startsWith(tmpdir())).toBe(true)
    expect((await load(made))(1)).toBe(5)
  })

  posix('a place in the temporary directory that somebody else prepared is not used', () => {
    const tmp = temporary('tmp')
    vi.stubEnv('TMPDIR', tmp)
    vi.stubEnv('DICOMP_CACHE_DIR', '/dev/null/x')
    symlinkSync(temporary('trap'), join(tmp, `dicomp-${process.getuid?.()}`))
    expect(basename(dirname(cacheDir()))).toMatch(/^dicomp-[a-zA-Z0-9]{6}$/)
    expect(dirname(dirname(cacheDir()))).toBe(tmp)
  })

  posix('no place at all is said', () => {
    vi.stubEnv('TMPDIR', '/dev/null')
    vi.stubEnv('DICOMP_CACHE_DIR', '/dev/null/y')
    expect(() => cacheDir()).toThrow(BundleError)
    expect(() => cacheDir()).toThrow(/DICOMP_CACHE_DIR/)
  })

  test.skipIf(!isRoot || !isPublic(root) || !isPublic(process.execPath))(
    'another user without a home, a read-only cache',
    async () => {
      const own = temporary('readonly')
      chmodSync(own, 0o755)
      const tmp = temporary('tmp')
      chmodSync(tmp, 0o777)
      const [told] = await inOtherProcess([entryOf('', '(n) => n * 2', '/')], {
        uid: 65534,
        env: { DICOMP_CACHE_DIR: own, TMPDIR: tmp, HOME: '/nonexistent' },
      })
      expect(told).toMatchObject({ result: 14, cacheDir: join(tmp, 'dicomp-65534', 'v1') })
    },
  )
})

describe('what is in it', () => {
  test('code by its hash; a file with other content is replaced', () => {
    const made = putCode('export default 1')
    expect(made).toEqual({ hash: hashOf('export default 1'), file: made.file, size: 16 })
    expect(basename(made.file)).toBe(`${made.hash}.mjs`)
    expect(getCode(made.hash)).toEqual(made)
    for (const bad of ['', 'export default', 'export default 2']) {
      writeFileSync(made.file, bad)
      expect(getCode(made.hash)).toBeUndefined()
      expect(putCode('export default 1')).toEqual(made)
      expect(readFileSync(made.file, 'utf8')).toBe('export default 1')
    }
  })

  test('notes that are damaged are none', () => {
    const file = noteFile('index', 'x.json')
    expect(getNote(file)).toBeUndefined()
    putNote(file, '{"a":1}')
    expect(getNote(file)).toBe('{"a":1}')
    const text = readFileSync(file, 'utf8')
    for (const bad of ['', text.slice(0, -1), text.replace('1', '2'), `${text}x`]) {
      writeFileSync(file, bad)
      expect(getNote(file)).toBeUndefined()
    }
  })

  test('somebody empties it while this process runs', async () => {
    const { rmSync } = await import('node:fs')
    const first = putCode('emptied')
    rmSync(cacheDir(), { recursive: true })
    expect(putCode('emptied')).toEqual(first)
    expect(readFileSync(first.file, 'utf8')).toBe('emptied')
  })

  posix('code that cannot be written is an error with a fix', () => {
    const { hash, file } = putCode('first')
    const other = hashOf('second')
    mkdirSync(file.replace(hash, other)) // a directory where the file should be
    expect(() => putCode('second')).toThrow(BundleError)
    expect(() => putCode('second')).toThrow(/Fix: free some disk space, or set DICOMP_CACHE_DIR/)
    expect(readdirSync(dirname(file)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

test('many processes at once: all get whole code, nothing is left over', async () => {
  const own = temporary('many')
  const dir = project({
    'helper.ts': `export const table = ${JSON.stringify(Array.from({ length: 20_000 }, (_, i) => i))}`,
  })
  const given = [
    entryOf(`import { table } from './helper.ts'`, '(n) => table[n]', dir),
    entryOf('', `(n) => n /* ${'x'.repeat(300_000)} */`, dir),
  ]
  await new Promise((done) => setTimeout(done, 20))
  const all = await Promise.all(
    Array.from({ length: 6 }, () => inOtherProcess(given, { env: { DICOMP_CACHE_DIR: own } })),
  )
  for (const told of all) {
    expect(told.map(({ result }) => result)).toEqual([7, 7])
    expect(told.map((one) => one.bundle)).toEqual(all[0]?.map((one) => one.bundle))
  }
  const names = readdirSync(own, { recursive: true, encoding: 'utf8' })
  expect(names.filter((name) => name.endsWith('.tmp'))).toEqual([])
  expect(names.filter((name) => name.endsWith('.mjs'))).toHaveLength(2)
  const [again] = await inOtherProcess(given, { env: { DICOMP_CACHE_DIR: own } })
  expect(again?.sync).toBe(true)
})

describe('its size is bounded', () => {
  const DAY = 86_400_000
  const aged = (file: string, days: number) =>
    utimesSync(file, new Date(Date.now() - days * DAY), new Date(Date.now() - days * DAY))

  test('the longest unused files go first, none of the last day', async () => {
    const files = [5, 4, 3, 2, 0.5, 0].map((days) => {
      const { file } = putCode(`${days}`.padEnd(1000, '.'))
      aged(file, days)
      return file
    })
    putNote(noteFile('map', 'm.json'), 'x'.repeat(1000))
    const left = () => files.map((file) => existsSync(file))
    await sweep(cacheDir(), { maxBytes: 5100 })
    expect(left()).toEqual([false, false, true, true, true, true])
    await sweep(cacheDir(), { maxBytes: 0 })
    expect(left()).toEqual([false, false, false, false, true, true])
    await sweep(cacheDir(), { maxBytes: 0, keepMs: -1 })
    expect(left()).toEqual([false, false, false, false, false, false])
  })

  test('use keeps a file; what a killed process left goes', async () => {
    const { hash, file } = putCode('used')
    aged(file, 10)
    getCode(hash)
    const half = join(dirname(file), `${hash}.mjs.123.abc.tmp`)
    writeFileSync(half, '')
    aged(half, 2)
    await sweep(cacheDir(), { maxBytes: 0 })
    expect([existsSync(file), existsSync(half)]).toEqual([true, false])
  })

  test('an empty or missing cache', async () => {
    await sweep(join(root, 'not-there'))
    await sweep(temporary())
  })
})
