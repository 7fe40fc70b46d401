/**
 * Loaded into the program of `dicomp run`, after tsx. Where package.json does not say `"type": "module"` (`npm init`
 * does not), tsx takes every .ts file for CommonJS, and a top-level await is a syntax error there. A file that has
 * one can only be an ES module, so it is loaded as one.
 */
import { readFileSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'

interface Resolved {
  url: string
  format?: string | null | undefined
}

type NextResolve<R> = (specifier: string, context?: unknown) => R

/** The hook as `module.register` wants it, in the thread of the loader. */
export async function resolve(
  specifier: string,
  context: unknown,
  next: NextResolve<Promise<Resolved>>,
): Promise<Resolved> {
  return asModule(await next(specifier, context))
}

function asModule(resolved: Resolved): Resolved {
  const undecided = resolved.format === 'commonjs' || resolved.format == null
  // A CommonJS file that an ES module imports gets a name of tsx's own: `other.ts%3Ftsx-commonjs-…=1?tsx-commonjs-…=1`.
  const file = /^(file:[^?#]*?\.tsx?)(?:$|[?#]|%3Ftsx-)/.exec(resolved.url)?.[1]
  if (!undecided || file === undefined || !hasTopLevelAwait(file)) return resolved
  return {
    ...resolved,
    url: resolved.url.startsWith(`${file}%3Ftsx-`) ? file : resolved.url,
    format: 'module',
  }
}

const known = new Map<string, boolean>()

function hasTopLevelAwait(url: string): boolean {
  let answer = known.get(url)
  if (answer === undefined) known.set(url, (answer = look(fileURLToPath(new URL(url)))))
  return answer
}

function look(path: string): boolean {
  try {
    const code = readFileSync(path, 'utf8')
    if (!/\bawait\b/.test(code)) return false
    // esbuild is the judge: it is what would refuse the file.
    const { transformSync } = nodeModule.createRequire(import.meta.url)('esbuild') as typeof import('esbuild')
    const loader = path.endsWith('x') ? 'tsx' : 'ts'
    try {
      transformSync(code, { loader, format: 'cjs', logLevel: 'silent' })
      return false
    } catch {
      transformSync(code, { loader, format: 'esm', logLevel: 'silent' })
      return true
    }
  } catch {
    return false // not there, or wrong in other ways: whoever loads it says so
  }
}

/** Of Node 22.15 and newer; the types are of the oldest version that we run on. */
const { registerHooks } = nodeModule as {
  registerHooks?: (hooks: {
    resolve: (specifier: string, context: unknown, next: NextResolve<Resolved>) => Resolved
  }) => void
}

if (isMainThread) {
  if (registerHooks) {
    registerHooks({ resolve: (specifier, context, next) => asModule(next(specifier, context)) })
  } else {
    nodeModule.register(import.meta.url)
  }
}
