/** The escape hatch: a function named by its module and export, when there is nothing to capture it with. */
import { statSync } from 'node:fs'
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BundleError } from '../errors.ts'
import type { Entry } from './types.ts'

/**
 * An entry for an exported function of a module. Nothing is captured and the module is not imported here: it runs
 * in every slot, from its first line. The caller has none of its classes, so arguments and results are plain data.
 *
 * @param url file URL or path of the module (TypeScript or JavaScript).
 * @param exportName the name that it exports the function by.
 * @throws {BundleError} when the file is not there. Later, from `bundle`, when it exports no such name.
 */
export function moduleEntry(url: URL | string, exportName = 'default'): Entry {
  const file = pathOf(url)
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new BundleError(`There is no module ${file}`, {
      fix: "name it relative to your own file: new URL('./task.ts', import.meta.url)",
    })
  }
  const name = JSON.stringify(exportName)
  const what = JSON.stringify(`The export ${name} of ${basename(file)} is not a function, but `)
  const text = [
    `import { ${name} as fn } from ${JSON.stringify(`./${basename(file)}`)}`,
    `if (typeof fn !== 'function') throw new TypeError(${what} + (fn === null ? 'null' : typeof fn))`,
    'export default () => ({ fn, entities: [] })',
    '',
  ].join('\n')
  return { text, resolveDir: dirname(file), hasImports: true, map: () => undefined }
}

/** Name of the function for people. */
export function moduleTaskName(url: URL | string, exportName = 'default'): string {
  return exportName === 'default' ? basename(pathOf(url)).replace(/\.[^.]+$/, '') : exportName
}

function pathOf(url: URL | string): string {
  const text = String(url)
  if (text.startsWith('file:')) return fileURLToPath(text)
  if (/^[a-z][\w+.-]+:/i.test(text)) {
    throw new BundleError(`Only modules in files can be distributed, not ${text}`, {
      fix: "give a file URL: new URL('./task.ts', import.meta.url)",
    })
  }
  return isAbsolute(text) ? text : resolve(text)
}
