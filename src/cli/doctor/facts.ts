import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, freemem, tmpdir, totalmem } from 'node:os'
import { Worker } from 'node:worker_threads'
import { cacheDir } from '../../capture/cache.ts'
import { connect } from '../../index.ts'
import type { MachineFacts } from './check.ts'

/** A thread or process that does not answer within this time does not work. Milliseconds. */
const PATIENCE = 20_000

/** Asks this machine. Takes a second or so: it starts a thread and a process. */
export async function gatherFacts(): Promise<MachineFacts> {
  // One after the other: they are timed.
  const thread = await timed(startThread)
  const child = await timed(startProcess)
  const call = await timed(callFunction)
  return {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cores: availableParallelism(),
    cpuQuota: cpuQuota(read),
    memory: totalmem(),
    freeMemory: freemem(),
    memoryLimit: process.constrainedMemory() || undefined,
    openFiles: limitOf('Max open files', read),
    processes: limitOf('Max processes', read),
    thread,
    process: child,
    call,
    inspector: await hasInspector(),
    prlimit: spawnSync('prlimit', ['--version']).status === 0,
    bubblewrap: bubblewrap(),
    cache: await cache(),
  }
}

type Read = (path: string) => string | undefined

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Cores' worth of CPU time that the cgroup allows (version 2, then 1). */
export function cpuQuota(read: Read): number | undefined {
  const [quota, period] = read('/sys/fs/cgroup/cpu.max')?.trim().split(' ') ?? [
    read('/sys/fs/cgroup/cpu/cpu.cfs_quota_us'),
    read('/sys/fs/cgroup/cpu/cpu.cfs_period_us'),
  ]
  const cores = Number(quota) / Number(period)
  return quota && period && cores > 0 && Number.isFinite(cores) ? cores : undefined
}

/** A soft limit of this process. */
export function limitOf(name: string, read: Read): number | undefined {
  const line = read('/proc/self/limits')
    ?.split('\n')
    .find((text) => text.startsWith(name))
  const soft = line?.slice(name.length).trim().split(/\s+/)[0]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

async function timed(action: () => Promise<void>): Promise<number | Error> {
  const began = performance.now()
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE / 1000} s`)), PATIENCE)
  })
  try {
    await Promise.race([action(), tooLate])
    return performance.now() - began
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    clearTimeout(timer)
  }
}

async function startThread(): Promise<void> {
  const worker = new Worker('require("node:worker_threads").parentPort.postMessage(1)', {
    eval: true,
    execArgv: [],
  })
  try {
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  } finally {
    await worker.terminate()
  }
}

function startProcess(): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`it ended with ${code ?? signal}`)),
    )
  })
}

async function callFunction(): Promise<void> {
  const cluster = await connect({ slots: 1 })
  try {
    const answer = await cluster.distribute((x: number) => x * 2)(21)
    if (answer !== 42) throw new Error(`21 * 2 was ${answer}`)
  } finally {
    await cluster.close()
  }
}

async function hasInspector(): Promise<boolean> {
  try {
    const { Session } = await import('node:inspector')
    const session = new Session()
    session.connect()
    session.disconnect()
    return true
  } catch {
    return false
  }
}

function bubblewrap(): MachineFacts['bubblewrap'] {
  const { status, error } = spawnSync('bwrap', ['--ro-bind', '/', '/', 'true'], { timeout: 5000 })
  if (error) return 'missing'
  return status === 0 ? 'works' : 'blocked'
}

async function cache(): Promise<MachineFacts['cache']> {
  let path = '(no directory)'
  try {
    path = cacheDir()
    accessSync(path, constants.W_OK)
    const disk = await statfs(path).catch(() => undefined)
    const fallback = path.startsWith(tmpdir()) && !process.env.DICOMP_CACHE_DIR
    return { path, writable: true, fallback, free: disk && disk.bavail * disk.bsize }
  } catch {
    return { path, writable: false, fallback: false, free: undefined }
  }
}
