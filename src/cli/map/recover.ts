import { closeSync, openSync, readFileSync } from 'node:fs'
import { DicompError } from '../../errors.ts'
import { extendChecksum } from './checksum.ts'
import { DoneSet } from './done-set.ts'
import { checksum, fileError, readTail } from './files.ts'
import {
  addRows,
  type FileState,
  type Folded,
  foldJournal,
  intactRows,
  type Mark,
  type Row,
} from './journal-format.ts'

/** The journal of an unfinished run, or undefined when there is none. */
export function readJournal(path: string): Folded | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileError('read the journal', path, error)
  }
  const folded = foldJournal(text)
  if (folded) return folded
  throw new DicompError(
    'DICOMP_E_RESUME',
    `${path} is not a journal of this version of dicomp, or it is damaged`,
    {
      fix: 'start over with --overwrite',
    },
  )
}

/**
 * Compares the journal with what the files really hold.
 * @returns the state to go on from: nothing that is in the files is redone, nothing that is not is skipped
 * @throws DicompError DICOMP_E_RESUME when a file was changed since
 */
export function recover(folded: Folded, out: string, err: string | undefined): Mark {
  const { mark, rows } = folded
  const rowsOf = (file: 'out' | 'err') => rows.flatMap((group) => group[file] ?? [])
  const output = recoverFile(out, mark.out, rowsOf('out'))
  const errors = err === undefined ? { state: mark.err, kept: 0 } : recoverFile(err, mark.err, rowsOf('err'))
  const done = new DoneSet(mark.done)
  const failed = mark.failed + addRows(done, rows, { out: output.kept, err: errors.kept })
  return { done: done.spans, failed, out: output.state, err: errors.state, read: folded.read }
}

function recoverFile(path: string, base: FileState, rows: Row[]): { state: FileState; kept: number } {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError('read', path, error)
    if (base[0] > 0) throw changed(path, 'it is gone')
    return { state: base, kept: 0 }
  }
  try {
    const crc = checksum(fd, base[0])
    if (crc === undefined) throw changed(path, 'it is shorter')
    if (crc !== base[1]) throw changed(path, 'its content is another')
    const tail = readTail(
      fd,
      base[0],
      rows.reduce((sum, [, bytes]) => sum + bytes, 0),
    )
    const kept = intactRows(rows, tail)
    const bytes = rows.slice(0, kept).reduce((sum, row) => sum + row[1], 0)
    return { state: [base[0] + bytes, extendChecksum(crc, tail.subarray(0, bytes))], kept }
  } finally {
    closeSync(fd)
  }
}

function changed(path: string, how: string): DicompError {
  return new DicompError(
    'DICOMP_E_RESUME',
    `${path} was changed since the run that is to be resumed: ${how}`,
    {
      fix: 'put it back as it was, or start over with --overwrite',
    },
  )
}
