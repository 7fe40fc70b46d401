import { closeSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { DicompError } from '../../errors.ts'
import { extendChecksum } from './checksum.ts'

const WHY: Record<string, [what: string, fix: string]> = {
  ENOENT: ['there is no such file or directory', 'check the path'],
  EACCES: ['permission denied', 'check the permissions of the file and its directory'],
  EPERM: ['the system does not allow it', 'check the permissions of the file and its directory'],
  EISDIR: ['it is a directory', 'name a file'],
  ENOTDIR: ['a part of its path is not a directory', 'check the path'],
  EROFS: ['the file system is read-only', 'write somewhere else'],
  ENOSPC: ['the disk is full', 'free some space'],
  EDQUOT: ['your disk quota is used up', 'free some space'],
  EFBIG: [
    'it would be larger than this system allows',
    'raise the limit (ulimit -f), or write somewhere else',
  ],
  EMFILE: ['this process has too many open files', 'raise the limit (ulimit -n)'],
}

/** Turns an error of the file system into one that says which file, why, and what to do. */
export function fileError(doing: string, path: string, cause: unknown): DicompError {
  if (cause instanceof DicompError) return cause
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const [what, fix] = WHY[code ?? ''] ?? [cause instanceof Error ? cause.message : String(cause), undefined]
  return new DicompError('DICOMP_E_FILE', `Cannot ${doing} ${path}: ${what}${code ? ` (${code})` : ''}`, {
    cause,
    ...(fix ? { fix } : {}),
  })
}

/** Writes all the bytes; a full disk may take only a part and fail at the rest. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset)
}

/** Checksum of the first `length` bytes, or undefined when the file is shorter. Reads in pieces. */
export function checksum(fd: number, length: number): number | undefined {
  const buffer = Buffer.allocUnsafe(Math.min(length, 1 << 20) || 1)
  let crc = 0
  for (let offset = 0; offset < length; ) {
    const read = readSync(fd, buffer, 0, Math.min(buffer.length, length - offset), offset)
    if (read === 0) return undefined
    crc = extendChecksum(crc, buffer.subarray(0, read))
    offset += read
  }
  return crc
}

/** Up to `length` bytes from `offset`. */
export function readTail(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const read = readSync(fd, buffer, filled, length - filled, offset + filled)
    if (read === 0) break
    filled += read
  }
  return buffer.subarray(0, filled)
}

/** Replaces a file in one step: at any moment there is the old one or the new one, whole and on the disk. */
export function replaceFile(path: string, text: string): void {
  const next = `${path}.new`
  const fd = openSync(next, 'w')
  try {
    writeAll(fd, Buffer.from(text))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(next, path)
  syncDirectory(dirname(path))
}

/** Makes a rename or a new file outlast a power cut, where the system can. */
function syncDirectory(path: string): void {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    fsyncSync(fd)
  } catch {
    // Windows cannot open directories, some file systems cannot sync them; there is nothing more to do then.
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
