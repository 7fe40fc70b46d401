/**
 * Computers of their own, as far as one kernel can pretend: each has a network namespace with an address and a cable
 * to a switch, a host name, and a file system in which chosen folders are hidden. Needs root and iproute2.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** Of a documentation range, in namespaces that lead nowhere else. */
const NET = '192.0.2'
const WIRE = fileURLToPath(new URL('wire.py', import.meta.url))

/** Why there can be no such computers here; undefined when there can. */
export function whyNoHosts(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  const name = `dicomp-probe-${randomBytes(3).toString('hex')}`
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' })
  if (made.error) return 'there is no `ip` (install iproute2)'
  if (made.status !== 0) return `network namespaces are not permitted: ${made.stderr.trim()}`
  const entered = spawnSync('ip', ['netns', 'exec', name, 'unshare', '--mount', '--uts', 'true'], {
    encoding: 'utf8',
  })
  spawnSync('ip', ['netns', 'delete', name])
  return entered.status === 0 ? undefined : `mount namespaces are not permitted: ${entered.stderr.trim()}`
}

/** Milliseconds, and percent of the packets; of each direction. */
export interface Impairment {
  delay: number
  jitter: number
  loss: number
}

export class Host {
  readonly name: string
  readonly address: string
  readonly #network: string
  readonly #hidden: string[]
  /** Carries its frames while its cable is a bad one. */
  #wire: ChildProcess | undefined

  constructor(network: string, name: string, number: number, hidden: string[]) {
    this.name = name
    this.address = `${NET}.${number}`
    this.#network = network
    this.#hidden = hidden
    const space = this.#space
    // Of its cable, one end is in the switch.
    ip('netns', 'add', space)
    ip('-n', space, 'link', 'set', 'lo', 'up')
    ip('-n', network, 'link', 'add', this.#cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
    ip('-n', space, 'address', 'add', `${this.address}/24`, 'dev', 'eth0')
    ip('-n', space, 'link', 'set', 'eth0', 'up')
    ip('-n', network, 'link', 'set', this.#cable, 'master', 'switch')
    ip('-n', network, 'link', 'set', this.#cable, 'up')
    // For wire.py; where there is no python3, it is not needed.
    spawnSync('ip', ['netns', 'exec', space, 'python3', WIRE, '--plain', 'eth0'])
  }

  /** Starts a program on this computer. Its standard output and error are piped. */
  run(command: string[], options: SpawnOptions = {}): ChildProcess {
    const hide = this.#hidden.map((folder) => `mount -t tmpfs none ${quoted(folder)} &&`).join(' ')
    const script = `hostname ${this.name} && mount --make-rprivate / && ${hide} exec ${command.map(quoted).join(' ')}`
    return spawn('ip', ['netns', 'exec', this.#space, 'unshare', '--mount', '--uts', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...options,
    })
  }

  /** Takes its cable out. */
  unplug(): void {
    ip('-n', this.#network, 'link', 'set', this.#cable, 'down')
  }

  plug(): void {
    ip('-n', this.#network, 'link', 'set', this.#cable, 'up')
  }

  /**
   * Makes its cable a bad one, in both directions: by `tc netem`, or by a program that carries frames (wire.py) where
   * this kernel has no netem.
   * @returns false when there is neither
   */
  async impair({ delay, jitter, loss }: Impairment): Promise<boolean> {
    const rule = `delay ${delay}ms ${jitter}ms loss ${loss}%`.split(' ')
    const qdiscs = [
      ['-n', this.#space, 'qdisc', 'replace', 'dev', 'eth0', 'root', 'netem'],
      ['-n', this.#network, 'qdisc', 'replace', 'dev', this.#cable, 'root', 'netem'],
    ]
    if (qdiscs.every((qdisc) => spawnSync('tc', [...qdisc, ...rule]).status === 0)) return true
    if (spawnSync('python3', ['--version']).status !== 0) return false
    const [near, far] = [`${this.#cable}-a`, `${this.#cable}-b`]
    ip('-n', this.#network, 'link', 'add', near, 'type', 'veth', 'peer', 'name', far)
    for (const end of [near, far]) ip('-n', this.#network, 'link', 'set', end, 'up')
    ip('-n', this.#network, 'link', 'set', this.#cable, 'nomaster')
    ip('-n', this.#network, 'link', 'set', far, 'master', 'switch')
    const args = [this.#cable, near, String(delay), String(jitter), String(loss)]
    this.#wire = spawn('ip', ['netns', 'exec', this.#network, 'python3', WIRE, ...args])
    await once(this.#wire.stdout as Readable, 'data')
    return true
  }

  repair(): void {
    spawnSync('tc', ['-n', this.#space, 'qdisc', 'delete', 'dev', 'eth0', 'root'])
    spawnSync('tc', ['-n', this.#network, 'qdisc', 'delete', 'dev', this.#cable, 'root'])
    if (!this.#wire) return
    this.#wire.kill('SIGKILL')
    this.#wire = undefined
    ip('-n', this.#network, 'link', 'delete', `${this.#cable}-a`)
    ip('-n', this.#network, 'link', 'set', this.#cable, 'master', 'switch')
  }

  /** Processes that run on it. */
  pids(): number[] {
    const list = spawnSync('ip', ['netns', 'pids', this.#space], { encoding: 'utf8' }).stdout
    return list.split('\n').filter(Boolean).map(Number)
  }

  /** Ends everything on it, and it. */
  remove(): void {
    this.#wire?.kill('SIGKILL')
    for (const pid of this.pids()) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
    spawnSync('ip', ['netns', 'delete', this.#space])
  }

  /** The end of its cable that is in the switch. */
  get #cable(): string {
    return `to-${this.name}`
  }

  get #space(): string {
    return `${this.#network}-${this.name}`
  }
}

/** A switch, and what is plugged into it. */
export class Network {
  readonly hosts: Host[] = []
  readonly #name = `dicomp-${randomBytes(3).toString('hex')}`

  constructor() {
    ip('netns', 'add', this.#name)
    ip('-n', this.#name, 'link', 'add', 'switch', 'type', 'bridge')
    ip('-n', this.#name, 'link', 'set', 'switch', 'up')
  }

  /** @param hidden folders that are empty there */
  add(name: string, hidden: string[] = []): Host {
    const host = new Host(this.#name, name, this.hosts.length + 1, hidden)
    this.hosts.push(host)
    return host
  }

  remove(): void {
    for (const host of this.hosts) host.remove()
    spawnSync('ip', ['netns', 'delete', this.#name])
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
