/** Breaks things as a plan says. */
import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Fault } from './plan.ts'
import { slotsOf } from './processes.ts'
import { Random } from './random.ts'
import { hasEnded, until, type World } from './world.ts'

export interface Victims {
  /** Does the work of the plan; only ever stopped and continued. */
  client: ChildProcess
  /** Is killed. */
  doomed: ChildProcess | undefined
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
/** Longest time that a node which was told to drain may take, milliseconds. */
const DRAIN_MS = 45_000

/** All of them, each at its time. Resolves when the last one is over and everything runs again. */
export async function breakThings(
  world: World,
  faults: Fault[],
  victims: Victims,
  seed: number,
): Promise<void> {
  const random = new Random(seed ^ 0xfa117)
  await Promise.all(
    faults.map(async (fault) => {
      await pause(fault.at)
      world.log(`${fault.type} ${JSON.stringify(fault)}`)
      await cause(fault, world, victims, random)
      world.log(`${fault.type} is over`)
    }),
  )
}

async function cause(fault: Fault, world: World, { client, doomed }: Victims, random: Random): Promise<void> {
  switch (fault.type) {
    case 'killNode':
    case 'drainNode': {
      const node = world.nodes[fault.node]
      const how = fault.type === 'killNode' ? 'SIGKILL' : 'SIGTERM'
      return node && replace(world, node, how, fault.back, () => world.startNode(node))
    }
    case 'killDriver': {
      const driver = world.drivers[fault.driver]
      return driver && replace(world, driver, 'SIGKILL', fault.back, () => world.startDriver(driver))
    }
    case 'stopDriver':
      return stopped(world.drivers[fault.driver]?.child.pid, fault.ms)
    case 'stopNode':
      return stopped(world.nodes[fault.node]?.child.pid, fault.ms)
    case 'stopClient':
      return stopped(client.pid, fault.ms)
    case 'killClient':
      return void doomed?.kill('SIGKILL')
    case 'killSlot': {
      const slot = random.pick(slotsOf(world.nodes[fault.node]?.child.pid ?? 0))
      if (slot !== undefined) signal(slot, 'SIGKILL')
      return
    }
    case 'stopSlot':
      return stopped(random.pick(slotsOf(world.nodes[fault.node]?.child.pid ?? 0)), fault.ms)
    case 'killServer':
    case 'wipeServer': {
      const server = world.servers[fault.server]
      if (!server || serversBroken.has(server)) return
      serversBroken.add(server)
      await server.kill(fault.type === 'killServer' ? fault.signal : 'SIGKILL')
      if (fault.type === 'wipeServer') rmSync(join(server.dir, 'store'), { recursive: true })
      await pause(fault.down)
      await server.restart()
      serversBroken.delete(server)
      return
    }
    case 'stopServer': {
      const server = world.servers[fault.server]
      if (!server || serversBroken.has(server)) return
      serversBroken.add(server)
      await stopped(server.pid, fault.ms)
      serversBroken.delete(server)
      return
    }
    case 'resetLink':
      return world.proxyOf(fault.who)?.reset()
    default: {
      const proxy = world.proxyOf(fault.who)
      if (fault.type === 'cutLink') proxy?.cut()
      else if (fault.type === 'stallLink') proxy?.stall()
      else if (fault.type === 'slowLink') proxy?.slow(fault.delay)
      else proxy?.lossy()
      await pause(fault.ms)
      proxy?.clear()
    }
  }
}

/** Down, or about to be: another fault would hit a process that is not there. */
const serversBroken = new Set<object>()
const replaced = new Set<object>()

async function replace(
  world: World,
  victim: { child: ChildProcess },
  how: 'SIGKILL' | 'SIGTERM',
  back: number,
  restart: () => void,
): Promise<void> {
  if (replaced.has(victim)) return
  replaced.add(victim)
  const { child } = victim
  child.kill(how)
  await until(() => hasEnded(child), DRAIN_MS).catch(() => {
    world.log(`the process ${child.pid} does not end after ${how}`)
    child.kill('SIGKILL')
  })
  await pause(back)
  restart()
  replaced.delete(victim)
}

async function stopped(pid: number | undefined, ms: number): Promise<void> {
  if (pid === undefined || !signal(pid, 'SIGSTOP')) return
  await pause(ms)
  signal(pid, 'SIGCONT')
}

/** @returns whether there was such a process */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}
