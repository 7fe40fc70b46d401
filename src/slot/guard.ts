/**
 * Ends process slots whose owner was killed. A slot sees by itself that its owner is gone, but not while a task
 * keeps it busy. So that nobody computes for nobody, a shell waits for the end of a pipe from here: when this process
 * dies, however it dies, the shell kills the slots that are left, with everything that they started.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/** Keeps a list of process groups; uses what every POSIX shell has built in, and starts nothing. */
const SCRIPT = `while read -r op id; do
  case $op in
    +) set -- "$@" "$id" ;;
    -) left=; for each; do [ "$each" = "$id" ] || left="$left $each"; done; set -- $left ;;
  esac
done
for each; do kill -s KILL -- "-$each"; done`

/** Windows ends the children of a process with it. */
export const HAS_GROUPS: boolean = process.platform !== 'win32'
/** The guard of no slots is kept this long for the next one, milliseconds. */
const LINGER_MS = 1000

const groups = new Set<number>()
let shell: { child: ChildProcess; gone: Promise<void> } | undefined
let linger: NodeJS.Timeout | undefined

/** From now on the process group is killed when this process ends. */
export function guard(group: number): void {
  if (!HAS_GROUPS) return
  clearTimeout(linger)
  groups.add(group)
  shell ??= start()
  shell.child.stdin?.write(`+ ${group}\n`)
}

/** The group is gone. */
export function unguard(group: number): void {
  if (!groups.delete(group)) return
  shell?.child.stdin?.write(`- ${group}\n`)
  if (groups.size > 0) return
  clearTimeout(linger)
  linger = setTimeout(endGuard, LINGER_MS).unref()
}

/** Ends the guard when there is nothing left to guard; resolves when it is gone. */
export async function endGuard(): Promise<void> {
  if (groups.size > 0) return
  clearTimeout(linger)
  const ending = shell
  if (!ending) return
  shell = undefined
  ending.child.stdin?.end()
  ending.child.ref()
  await ending.gone
}

function start(): NonNullable<typeof shell> {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'dicomp-guard'], {
    // Away from the terminal, so that Ctrl-C ends it neither before nor instead of this process.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: {},
  })
  child.unref()
  ;(child.stdin as unknown as { unref(): void }).unref()
  child.stdin?.on('error', () => {})
  const gone = new Promise<void>((resolve) => {
    const over = (): void => {
      if (shell?.child === child) shell = undefined
      // Its handle is closed with the next turn of the event loop.
      setTimeout(resolve)
    }
    child.on('error', over).on('close', over)
  })
  return { child, gone }
}
