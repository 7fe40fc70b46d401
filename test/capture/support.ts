/** Runs captured functions where nothing of this project is around, and programs under every loader. */
import { spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { buildSync, transformSync } from 'esbuild'
import { decode } from '../../src/codec/decode.ts'
import { fromFrame } from '../../src/codec/frame.ts'
import type { Entities } from '../../src/codec/index.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
export const FIXTURES = join(HERE, 'fixtures')
const ROOT = join(HERE, '../..')
/** Inside the project, so that the packages of the project are found from here. */
export const WORK = join(ROOT, '.cache', 'capture-test', String(process.pid))

/** A captured case as the driver writes it. */
export interface Shipped {
  name: string
  text: string
  resolveDir: string
  hasImports: boolean
  /** Frames in base64. */
  env: string
  args: string
  here: string
  mutability: string
  /** Why the capture, or the function itself, failed. */
  error?: string
}

let library: string | undefined

/** Capture and codec as one plain JavaScript file. */
export function builtLibrary(): string {
  if (library) return library
  library = join(WORK, 'library.mjs')
  const from = (path: string) => JSON.stringify(join(ROOT, 'src', path))
  buildSync({
    stdin: {
      contents: `export { capture } from ${from('capture/capture.ts')}
        export { encode } from ${from('codec/encode.ts')}
        export { decode } from ${from('codec/decode.ts')}
        export { toFrame, fromFrame } from ${from('codec/frame.ts')}`,
      resolveDir: ROOT,
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    outfile: library,
  })
  return library
}

export function cleanUp(): void {
  rmSync(WORK, { recursive: true, force: true })
}

/** The code that a slot would load. */
export function bundled(entry: { text: string; resolveDir: string; hasImports: boolean }): string {
  if (!entry.hasImports) return entry.text
  const built = buildSync({
    stdin: { contents: entry.text, resolveDir: entry.resolveDir, sourcefile: 'entry.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
    logLevel: 'silent',
    minify: true,
    keepNames: true,
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url)",
    },
  })
  return built.outputFiles[0]?.text ?? ''
}

/** Runs a program to its end. */
export function run(
  args: string[],
  options: { cwd?: string; node?: string; env?: Record<string, string> } = {},
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.node ?? process.execPath, args, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (data: Buffer) => (output += data))
    child.stderr.on('data', (data: Buffer) => (output += data))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

/** Captures all cases of a suite in a program of its own. */
export async function shipSuite(
  suite: string,
  node: string[],
  env: Record<string, string> = {},
): Promise<Shipped[]> {
  mkdirSync(WORK, { recursive: true })
  const out = join(WORK, `${Math.random().toString(36).slice(2)}.json`)
  const { code, output } = await run([...node, join(HERE, 'driver.mjs'), suite, out, builtLibrary()], { env })
  if (code !== 0) throw new Error(`the suite ended with ${code}:\n${output}`)
  return JSON.parse(readFileSync(out, 'utf8')) as Shipped[]
}

/** Runs shipped cases in one fresh process without the project. Returns what differs, by name. */
export async function differences(shipped: Shipped[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  const good = shipped.filter((each) => {
    if (each.error !== undefined) found[each.name] = each.error
    return each.error === undefined
  })
  const dir = mkdtempSync(join(tmpdir(), 'dicomp-fresh-'))
  try {
    writeFileSync(
      join(dir, 'in.json'),
      JSON.stringify(good.map((each) => ({ ...each, code: bundled(each) }))),
    )
    copyFileSync(builtLibrary(), join(dir, 'library.mjs'))
    copyFileSync(join(HERE, 'fresh.mjs'), join(dir, 'fresh.mjs'))
    const { code, output } = await run(['fresh.mjs', 'in.json', 'out.json', join(dir, 'library.mjs')], {
      cwd: dir,
    })
    if (code !== 0) throw new Error(`the fresh process ended with ${code}:\n${output}`)
    const results = JSON.parse(readFileSync(join(dir, 'out.json'), 'utf8')) as {
      there?: string
      error?: string
    }[]
    results.forEach(({ there, error }, index) => {
      const { name, here, text } = good[index] as Shipped
      if (there === here) return
      found[name] = error ?? `${latin(there)} there, ${latin(here)} here\n${text}`
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  return found
}

function latin(frame: string | undefined): string {
  return JSON.stringify(Buffer.from(frame ?? '', 'base64').toString('latin1'))
}

/** A copy of the fixtures, compiled or not, in a directory with its own module type. */
export function project(name: string, type: 'module' | 'commonjs', compile?: 'esm' | 'cjs'): string {
  const dir = join(WORK, name)
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ type }))
  for (const file of readdirSync(join(FIXTURES, 'suite'))) {
    const text = readFileSync(join(FIXTURES, 'suite', file), 'utf8')
    if (!compile) writeFileSync(join(dir, file), text)
    else {
      const { code } = transformSync(text, {
        loader: 'ts',
        format: compile,
        platform: 'node',
        sourcefile: file,
        sourcemap: 'inline',
      })
      writeFileSync(join(dir, `${basename(file, '.ts')}.js`), code.replaceAll('./helper.ts', './helper.js'))
    }
  }
  return dir
}

/** The suite as one file with packages left outside. */
export function bundledProject(): string {
  const outfile = join(WORK, 'bundle', 'suite.js')
  mkdirSync(dirname(outfile), { recursive: true })
  writeFileSync(join(WORK, 'bundle', 'package.json'), '{ "type": "module" }')
  const entryPoints = [join(FIXTURES, 'suite', 'suite.ts')]
  const packages = 'external'
  buildSync({
    entryPoints,
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages,
    sourcemap: true,
  })
  return outfile
}

/** What tsc makes of the suite: CommonJS for Node.js. */
export async function compiledProject(): Promise<string> {
  const dir = project('tsc-source', 'commonjs')
  const out = join(WORK, 'tsc')
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const options = [
    '--outDir',
    out,
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--skipLibCheck',
    '--sourceMap',
  ]
  const rewrite = ['--rewriteRelativeImportExtensions', '--noCheck', '--types', 'node', '--ignoreConfig']
  const { code, output } = await run([tsc, ...options, ...rewrite, join(dir, 'suite.ts')])
  if (code !== 0) throw new Error(`tsc ended with ${code}:\n${output}`)
  writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }')
  return join(out, 'suite.js')
}

interface Instance {
  // biome-ignore lint/suspicious/noExplicitAny: the function under test
  fn: (...args: any[]) => any
  entities: Function[]
}

/** Makes a captured function again in this process. */
export async function instantiate(captured: {
  entry: { text: string; resolveDir: string; hasImports: boolean }
  env: Parameters<typeof decode>[0]
}): Promise<Instance> {
  mkdirSync(WORK, { recursive: true })
  const file = join(WORK, `${Math.random().toString(36).slice(2)}.mjs`)
  writeFileSync(file, bundled(captured.entry))
  const module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as {
    default: (decode: (all: Function[]) => unknown) => Instance
  }
  return module.default((all) => decode(captured.env, { entities: lookup(all) }))
}

export function lookup(all: readonly Function[]): Entities {
  const map = new Map(all.map((fn, index) => [fn, index]))
  return { indexOf: (fn) => map.get(fn), at: (index) => all[index] }
}

export function open(frame: string): Parameters<typeof decode>[0] {
  return fromFrame(new Uint8Array(Buffer.from(frame, 'base64')))
}
