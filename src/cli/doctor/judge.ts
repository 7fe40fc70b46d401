import { formatBytes, formatDuration } from '../../progress/index.ts'
import type { Finding, MachineFacts } from './check.ts'

const GIB = 2 ** 30
const LEAST_NODE = [20, 19, 0] as const

/** What is well and what is not on a machine. Pure. */
export function judge(facts: MachineFacts): Finding[] {
  return [
    node(facts),
    cores(facts),
    memory(facts),
    limit('open files', facts.openFiles, 1024, 'ulimit -n 4096'),
    limit('processes', facts.processes, 512, 'ulimit -u 4096'),
    timed('threads', facts.thread, 'the default isolation cannot work; use isolation: "process"'),
    timed('processes as slots', facts.process, 'isolation: "process" cannot work; check the process limit'),
    timed(
      'a distributed call',
      facts.call,
      'run "dicomp doctor" again with the DICOMP_CACHE_DIR of a writable directory, or report it',
    ),
    inspector(facts),
    prlimit(facts),
    bubblewrap(facts),
    cache(facts),
  ]
}

function node({ node: version, platform }: MachineFacts): Finding {
  const value = `${version} on ${platform}`
  if (compareVersions(version, LEAST_NODE) < 0) {
    return {
      name: 'Node.js',
      status: 'fail',
      value,
      advice: `install Node.js ${LEAST_NODE.join('.')} or newer`,
    }
  }
  return { name: 'Node.js', status: 'ok', value }
}

/** Below 0 when the version (`v20.1.0`) is older. */
export function compareVersions(version: string, least: readonly number[]): number {
  const parts = version.replace(/^v/, '').split('.').map(Number)
  for (const [i, part] of least.entries()) {
    const difference = (parts[i] ?? 0) - part
    if (difference !== 0) return difference
  }
  return 0
}

function cores({ cores: count, cpuQuota }: MachineFacts): Finding {
  const name = 'cores'
  if (cpuQuota !== undefined && cpuQuota < count) {
    const slots = Math.max(1, Math.floor(cpuQuota))
    return {
      name,
      status: 'warn',
      value: `${count}, of which this container may use ${Number(cpuQuota.toFixed(2))}`,
      advice: `use ${slots} slot${slots === 1 ? '' : 's'}: connect({ slots: ${slots} }), dicomp map --slots ${slots}`,
    }
  }
  if (count === 1) {
    return {
      name,
      status: 'warn',
      value: '1',
      advice: 'nothing can be faster on one core; allow this process more of them',
    }
  }
  return { name, status: 'ok', value: String(count) }
}

function memory({ memory: total, freeMemory, memoryLimit, cores: count }: MachineFacts): Finding {
  const limited = memoryLimit !== undefined && memoryLimit < total
  const usable = limited ? memoryLimit : total
  const free = Math.min(freeMemory, usable)
  const value = `${formatBytes(usable)}${limited ? ' (limit of this container)' : ''}, ${formatBytes(free)} free`
  if (free < (count * GIB) / 8) {
    return {
      name: 'memory',
      status: 'warn',
      value,
      advice: 'free some memory, or use fewer slots: each needs 128 MiB and more',
    }
  }
  return { name: 'memory', status: 'ok', value }
}

function limit(what: string, value: number | undefined, least: number, command: string): Finding {
  const name = `limit of ${what}`
  if (value === undefined) return { name, status: 'note', value: 'unknown on this system' }
  if (value < least) return { name, status: 'warn', value: String(value), advice: `raise it: ${command}` }
  return { name, status: 'ok', value: value === Number.POSITIVE_INFINITY ? 'none' : String(value) }
}

function timed(name: string, result: number | Error, advice: string): Finding {
  if (result instanceof Error)
    return { name, status: 'fail', value: result.message.split('\n')[0] ?? '', advice }
  return { name, status: 'ok', value: `works (${formatDuration(result)} from cold)` }
}

function inspector({ inspector: there }: MachineFacts): Finding {
  const name = 'inspector'
  if (there) return { name, status: 'ok', value: 'available: closures can be captured' }
  return {
    name,
    status: 'warn',
    value: 'not available: closures cannot be captured',
    advice:
      'use distribute.module(new URL("./task.ts", import.meta.url)), or start Node.js without --permission',
  }
}

function prlimit({ prlimit: there, platform }: MachineFacts): Finding {
  const name = 'prlimit'
  if (there) return { name, status: 'ok', value: 'memory limits of processes are enforced by the kernel' }
  if (!platform.startsWith('linux'))
    return { name, status: 'note', value: 'not on this system: memory limits are watched' }
  return {
    name,
    status: 'warn',
    value: 'missing: memory limits of processes are only watched',
    advice: 'install the package util-linux',
  }
}

function bubblewrap({ bubblewrap: state }: MachineFacts): Finding {
  const value = {
    works: 'works: code that you do not trust can be boxed in',
    blocked: 'installed, but not allowed here (unprivileged user namespaces are off)',
    missing: 'not installed; only needed to run code that you do not trust',
  }[state]
  return { name: 'bubblewrap', status: state === 'works' ? 'ok' : 'note', value }
}

function cache({ cache: { path, writable, fallback, free } }: MachineFacts): Finding {
  const name = 'cache'
  if (!writable) {
    return {
      name,
      status: 'fail',
      value: `${path} cannot be written`,
      advice: 'set DICOMP_CACHE_DIR to a directory that can',
    }
  }
  if (fallback) {
    const value = `${path}, a temporary one: the usual place cannot be written`
    return { name, status: 'warn', value, advice: 'set DICOMP_CACHE_DIR to a directory that stays' }
  }
  if (free !== undefined && free < GIB / 4) {
    return {
      name,
      status: 'warn',
      value: `${path}, ${formatBytes(free)} free`,
      advice: 'free some space on this disk',
    }
  }
  return { name, status: 'ok', value: free === undefined ? path : `${path}, ${formatBytes(free)} free` }
}
