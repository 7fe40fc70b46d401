/** The other process: reads entries from stdin, bundles each and calls its function, writes what happened. */
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { bundle } from '../../src/capture/bundle.ts'
import { cacheDir } from '../../src/capture/cache.ts'
import type { Entry } from '../../src/capture/types.ts'

const told: unknown[] = []
for (const given of JSON.parse(await text(process.stdin)) as Entry[]) {
  const entry = { ...given, map: () => undefined }
  const start = performance.now()
  const made = bundle(entry)
  const sync = !(made instanceof Promise)
  const done = await made
  const ms = performance.now() - start
  const native = (name: string) =>
    createRequire(import.meta.url)(done.natives.find((one) => one.name === name)?.path ?? name)
  Object.assign(globalThis, { [Symbol.for('dicomp.runtime')]: { native, task: { attempt: 3 } } })
  const module = await import(pathToFileURL(done.file).href)
  const result = await module.default(() => []).fn(7)
  told.push({ sync, ms, bundle: done, result, cacheDir: cacheDir() })
}
process.stdout.write(JSON.stringify(told))
