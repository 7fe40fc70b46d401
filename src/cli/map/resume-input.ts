import { DicompError } from '../../errors.ts'
import { DoneSet } from './done-set.ts'
import type { Mark } from './journal-format.ts'
import type { InputRecord, LineReader } from './line-reader.ts'

/**
 * The records that are still to be done. What the interrupted run had read is read again and compared by its
 * checksum before any of it is handed out; the few unfinished records among it are kept meanwhile.
 * @throws DicompError DICOMP_E_RESUME when the input is another one
 */
export async function* remaining(reader: LineReader, mark: Mark, name: string): AsyncGenerator<InputRecord> {
  const [before, crc] = mark.read
  if (before === 0) {
    yield* reader
    return
  }
  const done = new DoneSet(mark.done)
  const kept: InputRecord[] = []
  const records = reader[Symbol.asyncIterator]()
  while (reader.state[0] < before) {
    const { value, done: ended } = await records.next()
    if (ended || !value)
      throw another(name, `it ends after ${reader.state[0]} records, ${before} had been read`)
    if (!done.has(value.index)) kept.push(value)
  }
  if (reader.state[1] !== crc) throw another(name, `its first ${before} records are not what they were`)
  yield* kept
  yield* records
}

function another(name: string, how: string): DicompError {
  return new DicompError(
    'DICOMP_E_RESUME',
    `${name} is not the input of the run that is to be resumed: ${how}`,
    {
      fix: 'resume with the same input (lines may have been added at its end), or start over with --overwrite',
    },
  )
}
