/**
 * Native packages (addons, packages that read files of their own) stay out of bundles. A node installs them once,
 * in the exact version that the client has, and only if its owner allows that: it means running code of a registry.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { cacheDir } from '../capture/cache.ts'
import type { NativePackage } from '../capture/types.ts'
import { LoadError } from '../errors.ts'
import type { RemoteProgram } from '../nats/messages.ts'

type Native = RemoteProgram['natives'][number]

/** `name`, `@scope/name`, each with `/path/inside` and `@version` behind it. */
const SPECIFIER = /^((?:@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*)((?:\/[^/@]+)*)(@[^/]+)?$/i
/** Exact: no range, no tag, no URL. */
const VERSION = /^\d+\.\d+\.\d+(?:[-+][\w.+-]+)?$/
/** Lines of npm's output in an error. */
const TAIL_LINES = 8

export class Natives {
  readonly #allowed: boolean
  readonly #packages = new Map<string, Promise<string>>()

  /** @param allowed the owner lets the agent install packages */
  constructor(allowed: boolean) {
    this.#allowed = allowed
  }

  /** The package where slots can load it. Rejects with a LoadError; one that is optional is missing then. */
  async get({ name, version, optional }: Native): Promise<NativePackage> {
    try {
      return { name, version, optional, path: await this.#resolve(name, version) }
    } catch (error) {
      if (!optional) throw error
      return { name, version, optional, path: join(cacheDir(), 'not-installed', name) }
    }
  }

  async #resolve(name: string, version: string): Promise<string> {
    const [, pack, inside = ''] = SPECIFIER.exec(name) ?? []
    if (pack === undefined || !VERSION.test(version)) {
      throw new LoadError(`'${name}' ${version} is no package of a registry`, {
        fix: 'publish it, or do without native code of your own project in distributed functions',
      })
    }
    const key = `${pack}@${version}`
    let installing = this.#packages.get(key)
    if (!installing) {
      installing = this.#install(pack, version)
      this.#packages.set(key, installing)
      installing.catch(() => this.#packages.delete(key))
    }
    return createRequire(join(await installing, 'package.json')).resolve(pack + inside)
  }

  /** @returns the directory whose node_modules has it */
  async #install(name: string, version: string): Promise<string> {
    const { platform, arch, versions } = process
    const place = join(cacheDir(), 'natives', `${platform}-${arch}-${versions.modules}`)
    const dir = join(place, `${name.replace('/', '+')}@${version}`)
    if (existsSync(dir)) return dir
    if (!this.#allowed) {
      throw new LoadError(`it needs the native package ${name}@${version}, which is not installed here`, {
        fix: 'start the node with --allow-native, so that it may install packages from the npm registry',
      })
    }
    const temporary = `${dir}.${process.pid}.tmp`
    mkdirSync(temporary, { recursive: true, mode: 0o700 })
    try {
      writeFileSync(join(temporary, 'package.json'), '{ "private": true }')
      await npmInstall(temporary, `${name}@${version}`)
      // Whole, or not there; of two agents that install it, the first wins.
      if (!existsSync(dir)) renameSync(temporary, dir)
      return dir
    } finally {
      rmSync(temporary, { recursive: true, force: true })
    }
  }
}

function npmInstall(dir: string, spec: string): Promise<void> {
  const flags = ['--no-audit', '--no-fund', '--no-package-lock', '--no-update-notifier', '--loglevel=error']
  return new Promise((resolve, reject) => {
    const child = spawn('npm', ['install', ...flags, '--', spec], {
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
      shell: process.platform === 'win32',
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000)
    })
    child.on('error', (cause) =>
      reject(new LoadError(`npm, which installs ${spec}, cannot be started: ${cause.message}`, { cause })),
    )
    child.on('close', (code) => {
      if (code === 0) return resolve()
      const tail = said.trim().split('\n').slice(-TAIL_LINES).join('\n    ')
      reject(new LoadError(`npm could not install ${spec}:\n    ${tail}`))
    })
  })
}
