import { expect, test } from 'vitest'
import type { MachineFacts } from '../../src/cli/doctor/check.ts'
import { cpuQuota, limitOf } from '../../src/cli/doctor/facts.ts'
import { compareVersions, judge } from '../../src/cli/doctor/judge.ts'
import { formatFindings } from '../../src/cli/doctor.ts'

const GIB = 2 ** 30
const healthy: MachineFacts = {
  node: 'v22.18.0',
  platform: 'linux x64',
  cores: 8,
  cpuQuota: undefined,
  memory: 32 * GIB,
  freeMemory: 20 * GIB,
  memoryLimit: undefined,
  openFiles: 65536,
  processes: Number.POSITIVE_INFINITY,
  thread: 40,
  process: 60,
  call: 120,
  inspector: true,
  prlimit: true,
  bubblewrap: 'works',
  cache: { path: '/home/me/.cache/dicomp', writable: true, fallback: false, free: 10 * GIB },
}

test('a healthy machine is well throughout', () => {
  const findings = judge(healthy)
  expect(findings.map((finding) => finding.status)).toEqual(findings.map(() => 'ok'))
  expect(formatFindings(findings, false)).toMatch(
    /^ok {4}Node\.js +v22\.18\.0 on linux x64\n[\s\S]*All is well\.\n$/,
  )
})

test.each<[string, Partial<MachineFacts>, string, string, RegExp]>([
  ['an old Node', { node: 'v20.18.3' }, 'Node.js', 'fail', /20\.19\.0 or newer/],
  ['a container with less CPU', { cpuQuota: 1.5 }, 'cores', 'warn', /connect\(\{ slots: 1 \}\)/],
  ['one core', { cores: 1 }, 'cores', 'warn', /one core/],
  ['little memory', { freeMemory: GIB / 2 }, 'memory', 'warn', /fewer slots/],
  ['a container with little memory', { memoryLimit: GIB / 2 }, 'memory', 'warn', /fewer slots/],
  ['few open files', { openFiles: 256 }, 'limit of open files', 'warn', /ulimit -n/],
  ['no processes', { process: new Error('spawn EAGAIN') }, 'processes as slots', 'fail', /process limit/],
  ['no threads', { thread: new Error('ERR_WORKER_INIT_FAILED') }, 'threads', 'fail', /isolation: "process"/],
  ['no inspector', { inspector: false }, 'inspector', 'warn', /distribute\.module/],
  ['no prlimit', { prlimit: false }, 'prlimit', 'warn', /util-linux/],
  ['no cache', { cache: { ...healthy.cache, writable: false } }, 'cache', 'fail', /DICOMP_CACHE_DIR/],
  ['a temporary cache', { cache: { ...healthy.cache, fallback: true } }, 'cache', 'warn', /DICOMP_CACHE_DIR/],
  ['a full disk', { cache: { ...healthy.cache, free: 1000 } }, 'cache', 'warn', /free some space/],
])('%s is found, with what to do', (_, facts, name, status, advice) => {
  const findings = judge({ ...healthy, ...facts })
  const found = findings.find((finding) => finding.name === name)
  expect(found).toMatchObject({ status, advice: expect.stringMatching(advice) })
  expect(findings.filter((finding) => finding.status !== 'ok')).toEqual([found])
  expect(formatFindings(findings, false)).toContain(`→ ${found?.advice}`)
})

test('what is merely absent is a note', () => {
  const findings = judge({
    ...healthy,
    bubblewrap: 'missing',
    openFiles: undefined,
    platform: 'darwin arm64',
    prlimit: false,
  })
  expect(findings.filter((f) => f.status !== 'ok').map((f) => [f.name, f.status])).toEqual([
    ['limit of open files', 'note'],
    ['prlimit', 'note'],
    ['bubblewrap', 'note'],
  ])
})

test('limits are read as Linux writes them', () => {
  const files: Record<string, string> = {
    '/sys/fs/cgroup/cpu.max': '150000 100000\n',
    '/proc/self/limits':
      'Limit                     Soft Limit           Hard Limit           Units     \n' +
      'Max processes             unlimited            unlimited            processes \n' +
      'Max open files            1024                 1048576              files     \n',
  }
  const read = (path: string) => files[path]
  expect(cpuQuota(read)).toBe(1.5)
  expect(cpuQuota(() => 'max 100000')).toBeUndefined()
  expect(cpuQuota(() => undefined)).toBeUndefined()
  expect(limitOf('Max open files', read)).toBe(1024)
  expect(limitOf('Max processes', read)).toBe(Number.POSITIVE_INFINITY)
  expect(limitOf('Max open files', () => undefined)).toBeUndefined()
})

test('versions', () => {
  expect(compareVersions('v20.19.0', [20, 19, 0])).toBe(0)
  expect(compareVersions('v20.9.0', [20, 19, 0])).toBeLessThan(0)
  expect(compareVersions('v26.0.0-nightly', [20, 19, 0])).toBeGreaterThan(0)
})
