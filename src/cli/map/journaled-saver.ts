import { closeSync, constants, fstatSync, fsync, ftruncateSync, openSync, rmSync } from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { BatchingSaver, type PendingLine } from './batching-saver.ts'
import { extendChecksum } from './checksum.ts'
import { DoneSet } from './done-set.ts'
import { fileError, replaceFile, writeAll } from './files.ts'
import { encodeEntry, type FileState, type Header, type Mark, type Row, type Rows } from './journal-format.ts'
import type { Destination, SaverEvents } from './saver.ts'

export interface JournaledPaths {
  out: string
  err?: string | undefined
  journal: string
}

/** How often everything is brought to the disk, and how large the journal grows before it begins anew. */
const MARK_EVERY = 1000
const MARK_ROWS = 20_000
const JOURNAL_BYTES = 4 * 1024 * 1024

interface OpenFile {
  path: string
  fd: number
  state: FileState
}

/**
 * Writes lines to a file so that a run killed at any moment can be continued: what is going to be written is
 * noted in the journal first. See README.md in this folder.
 */
export class JournaledSaver extends BatchingSaver {
  readonly #paths: JournaledPaths
  readonly #header: Header
  readonly #done: DoneSet
  readonly #files: Record<Destination, OpenFile | undefined>
  #failed: number
  #journal: number
  #journalBytes = 0
  #rowsSinceMark = 0
  #markedAt = performance.now()

  /**
   * Begins at `mark`: what the files hold after it is cut off.
   * @throws DicompError DICOMP_E_FILE when a file cannot be opened or written
   */
  constructor(paths: JournaledPaths, header: Header, mark: Mark, events: SaverEvents) {
    super(events)
    this.#paths = paths
    this.#header = header
    this.#done = new DoneSet(mark.done)
    this.#failed = mark.failed
    // The journal comes first: as long as there is one, the output counts as unfinished.
    this.#journal = this.#beginJournal(mark)
    this.#files = {
      out: openAt(paths.out, mark.out),
      err: paths.err === undefined ? undefined : openAt(paths.err, mark.err),
    }
  }

  get saved(): number {
    return this.#done.size
  }

  protected override async writeBatch(lines: PendingLine[]): Promise<void> {
    const rows: Rows = {}
    const texts: Record<Destination, Buffer[]> = { out: [], err: [] }
    for (const { to, index, text } of lines) {
      if (text === undefined || !this.#files[to]) {
        rows.failed ??= []
        rows.failed.push(index)
        continue
      }
      const bytes = Buffer.from(text)
      const row: Row = [index, bytes.length, crc32(bytes)]
      rows[to] ??= []
      rows[to].push(row)
      texts[to].push(bytes)
    }
    this.#append(encodeEntry({ rows, read: this.events.read() }))
    for (const to of ['out', 'err'] as const) {
      const file = this.#files[to]
      if (file && texts[to].length > 0) writeTo(file, Buffer.concat(texts[to]))
    }
    for (const { to, index } of lines) if (this.#done.add(index) && to === 'err') this.#failed++
    this.#rowsSinceMark += lines.length
    const due = performance.now() - this.#markedAt >= MARK_EVERY || this.#rowsSinceMark >= MARK_ROWS
    if (due) await this.#mark()
  }

  protected override async finish(complete: boolean): Promise<void> {
    try {
      if (complete) {
        await this.#sync()
        this.#append(encodeEntry({ end: true }))
      }
    } finally {
      closeSync(this.#journal)
      for (const file of Object.values(this.#files)) if (file) closeSync(file.fd)
    }
    // Without anything done there is nothing to resume.
    if (complete || this.#done.size === 0) rmSync(this.#paths.journal, { force: true })
  }

  async #mark(): Promise<void> {
    await this.#sync()
    const mark: Mark = {
      done: this.#done.spans,
      failed: this.#failed,
      out: [...(this.#files.out?.state ?? [0, 0])],
      err: [...(this.#files.err?.state ?? [0, 0])],
      read: this.events.read(),
    }
    if (this.#journalBytes < JOURNAL_BYTES) {
      this.#append(encodeEntry({ mark }))
    } else {
      closeSync(this.#journal)
      this.#journal = this.#beginJournal(mark)
    }
    this.#rowsSinceMark = 0
    this.#markedAt = performance.now()
  }

  async #sync(): Promise<void> {
    for (const file of Object.values(this.#files)) {
      if (!file) continue
      try {
        await promisify(fsync)(file.fd)
      } catch (error) {
        throw fileError('write to', file.path, error)
      }
    }
  }

  #beginJournal(mark: Mark): number {
    const path = this.#paths.journal
    const text = encodeEntry({ header: this.#header }) + encodeEntry({ mark })
    try {
      replaceFile(path, text)
      this.#journalBytes = text.length
      return openSync(path, 'a')
    } catch (error) {
      throw fileError('write the journal', path, error)
    }
  }

  #append(text: string): void {
    try {
      writeAll(this.#journal, Buffer.from(text))
    } catch (error) {
      throw fileError('write the journal', this.#paths.journal, error)
    }
    this.#journalBytes += text.length
  }
}

/** Opens (or makes) a file and cuts it to the state. */
function openAt(path: string, state: FileState): OpenFile {
  try {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o666)
    if (fstatSync(fd).size !== state[0]) ftruncateSync(fd, state[0])
    return { path, fd, state: [...state] }
  } catch (error) {
    throw fileError('write to', path, error)
  }
}

function writeTo(file: OpenFile, bytes: Buffer): void {
  try {
    writeAll(file.fd, bytes)
  } catch (error) {
    // A full disk may have taken a part: no line stays half written.
    try {
      ftruncateSync(file.fd, file.state[0])
    } catch {
      // The journal knows where the last whole line ends.
    }
    throw fileError('write to', file.path, error)
  }
  file.state[0] += bytes.length
  file.state[1] = extendChecksum(file.state[1], bytes)
}
