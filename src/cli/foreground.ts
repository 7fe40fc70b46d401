import { readFileSync } from 'node:fs'

/**
 * Whether a Ctrl-C typed now would not reach this process: it has no terminal, or another group of processes is
 * in the foreground. An interrupt that comes nevertheless was sent to this process alone (`kill -INT`).
 */
export function isAlone(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    // After the program's name: state, parent, group, session, terminal, foreground group of the terminal.
    const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return terminal === '0' || group !== foreground
  } catch {
    return !(process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY)
  }
}
