/** Runs one process to its end, at most two at a time. */
import { spawn } from 'node:child_process'

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

const AT_ONCE = 2
/** A process that does not end by itself has kept something open. */
const LIMIT_MS = 90_000
let running = 0
const waiting: (() => void)[] = []

export async function execute(
  file: string,
  args: string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<Ended> {
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        cwd: options.cwd,
        env: { ...surroundings(), ...options.env },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: LIMIT_MS,
        killSignal: 'SIGKILL',
      })
      const output = { stdout: '', stderr: '' }
      child.stdout.on('data', (chunk) => (output.stdout += chunk))
      child.stderr.on('data', (chunk) => (output.stderr += chunk))
      child.on('error', reject)
      child.on('close', (code, signal) => resolve({ code, signal, ...output }))
    })
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}

/** The environment without what the process of the tests has put there for itself. */
function surroundings(): NodeJS.ProcessEnv {
  const own = /^(VITEST|NODE_|TEST$|DEV$|PROD$|MODE$|SSR$|BASE_URL$|FORCE_COLOR|npm_)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)))
}

export type NodeName = 'node20' | 'node22' | 'node24' | 'node26'
export const NODES: NodeName[] = ['node20', 'node22', 'node24', 'node26']
