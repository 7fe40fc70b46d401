/** How a process slot is started. */
import { type ChildProcess, spawn } from 'node:child_process'
import { slotEnvironment } from './environment.ts'
import { HAS_GROUPS } from './guard.ts'
import { dataKilobytes, heapMegabytes } from './memory.ts'
import type { SlotKind } from './protocol.ts'
import { runnerFile } from './runner-file.ts'

/**
 * A shell sets the limits and becomes Node.js, which takes about a millisecond. No core files: a crash would leave
 * one of gigabytes in the user's directory. A limit that the system refuses is left out.
 */
const LIMITS = 'ulimit -c 0 2>/dev/null; [ -z "$1" ] || ulimit -d "$1" 2>/dev/null; shift; exec "$@"'

/** Starts a process slot; its file descriptor 3 is the wire, and on POSIX it leads a process group of its own. */
export function launch(kind: SlotKind, slots: number): ChildProcess {
  const { memory } = kind
  const runner = [...(kind.wrapper ?? []), ...runnerCommand(kind, heapMegabytes(memory, slots))]
  const data = memory === undefined || process.platform !== 'linux' ? '' : String(dataKilobytes(memory))
  const [command, ...args] = HAS_GROUPS ? ['/bin/sh', '-c', LIMITS, 'sh', data, ...runner] : runner
  return spawn(command as string, args, {
    env: slotEnvironment(kind.env),
    // Ctrl-C in the terminal is for the owner, who decides what becomes of the slots.
    detached: HAS_GROUPS,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
}

/** @param heap of JavaScript, MiB. Bun has no such limit. */
function runnerCommand({ runtime = process.execPath, memory }: SlotKind, heap: number): string[] {
  const file = [runnerFile(), String(memory ?? '')]
  const limit = `--max-old-space-size=${heap}`
  switch (/([a-z]+)(?:\.exe)?$/i.exec(runtime)?.[1]) {
    case 'bun':
      return [runtime, ...file]
    case 'deno':
      return [runtime, 'run', '--quiet', '--allow-all', `--v8-flags=${limit}`, ...file]
    default:
      return [runtime, limit, ...file]
  }
}
