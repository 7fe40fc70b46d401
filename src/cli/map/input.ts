import { createReadStream, fstatSync, openSync } from 'node:fs'
import { fileError } from './files.ts'

export interface Input {
  /** For people: the path, or `stdin`. */
  name: string
  /** Size in bytes, where it is known. */
  size: number | undefined
  bytes: AsyncIterable<Uint8Array>
  /** Stops reading, so that nothing waits for more of it. */
  close(): void
}

/**
 * Opens the input: a file, or stdin when `path` is undefined or `-`.
 * @throws DicompError DICOMP_E_FILE
 */
export function openInput(path: string | undefined): Input {
  if (path === undefined || path === '-') {
    if (process.stdin.isTTY)
      process.stderr.write('Reading from the terminal; end with Ctrl-D. (--input FILE reads a file.)\n')
    return {
      name: 'stdin',
      size: undefined,
      bytes: guarded('stdin', process.stdin),
      close: () => process.stdin.destroy(),
    }
  }
  try {
    const fd = openSync(path, 'r')
    const stats = fstatSync(fd)
    if (stats.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
    const stream = createReadStream(path, { fd, highWaterMark: 256 * 1024 })
    return {
      name: path,
      size: stats.isFile() ? stats.size : undefined,
      bytes: guarded(path, stream),
      close: () => stream.destroy(),
    }
  } catch (error) {
    throw fileError('read', path, error)
  }
}

async function* guarded(name: string, stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* stream
  } catch (error) {
    throw fileError('read', name, error)
  }
}
