import { runCommand } from './command.ts'

/** What `nats-server --version` says, `2.15.1`; undefined for what is no nats-server. */
export async function serverVersion(path: string): Promise<string | undefined> {
  const { stdout } = await runCommand(path, ['--version'], { timeoutMs: 10_000 })
  return /nats-server:? v?(\d+\.\d+\.\d+)/.exec(stdout)?.[1]
}

/** Whether version `a` is older than `b`, both `major.minor.patch`. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
