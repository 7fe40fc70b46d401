import { crc32 } from 'node:zlib'
import type { DoneSet, Span } from './done-set.ts'
import type { ReadState } from './line-reader.ts'

/**
 * The journal of a `dicomp map` run, `<output>.dicomp`: text lines, each with its own checksum, so that a torn
 * last line is known for what it is. README.md in this folder tells the protocol.
 */
export type Entry =
  | { header: Header }
  | { mark: Mark }
  | { rows: Rows; read: ReadState }
  /** Everything is done and on the disk. */
  | { end: true }

/** What a later `--resume` must match. */
export interface Header {
  version: 1
  task: string
  /** Hash of the task's code. */
  taskHash: string
  /** `--lines`: text in and out, not JSON. */
  lines: boolean
  unordered: boolean
  /** Absolute path of the errors file. */
  errors?: string
  /** The process that writes. */
  writer: Writer
}

export interface Writer {
  host: string
  pid: number
  /** When the process started, as the system tells it; a reused pid has another. */
  started: string
}

/** A row that was about to be written: the record, its bytes with the newline, and their checksum. */
export type Row = [index: number, bytes: number, crc: number]

export interface Rows {
  out?: Row[]
  err?: Row[]
  /** Failed records of a run without errors file. */
  failed?: number[]
}

/** Size of a file and checksum of all of it. */
export type FileState = [bytes: number, crc: number]

/** A moment of which everything is known to be on the disk. */
export interface Mark {
  done: Span[]
  failed: number
  out: FileState
  err: FileState
  read: ReadState
}

/** A journal as read back: the last mark, and what was going to be written after it, in order. */
export interface Folded {
  header: Header
  mark: Mark
  rows: Rows[]
  read: ReadState
  ended: boolean
}

export function emptyMark(): Mark {
  return { done: [], failed: 0, out: [0, 0], err: [0, 0], read: [0, 0] }
}

export function encodeEntry(entry: Entry): string {
  const json = JSON.stringify(entry)
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

/** @returns undefined when the line is torn or damaged */
export function decodeEntry(line: string): Entry | undefined {
  if (line[8] !== ' ') return undefined
  const json = line.slice(9)
  if (crc32(json) !== Number.parseInt(line.slice(0, 8), 16)) return undefined
  return JSON.parse(json) as Entry
}

/**
 * Reads a journal's text. It ends at the first line that is torn: nothing after it can have been acted upon.
 * @returns undefined when there is no whole header
 */
export function foldJournal(text: string): Folded | undefined {
  let folded: Folded | undefined
  // What follows the last newline is a torn line.
  const lines = text.split('\n').slice(0, -1)
  for (const line of lines) {
    const entry = decodeEntry(line)
    if (!entry) break
    if ('header' in entry) {
      if (entry.header.version !== 1) return undefined
      folded = { header: entry.header, mark: emptyMark(), rows: [], read: [0, 0], ended: false }
    } else if (!folded) {
      return undefined
    } else if ('mark' in entry) {
      folded.mark = entry.mark
      folded.rows = []
      folded.read = entry.mark.read
    } else if ('rows' in entry) {
      folded.rows.push(entry.rows)
      folded.read = entry.read
    } else {
      folded.ended = true
    }
  }
  return folded
}

/** How many of the rows the bytes after the mark hold whole and intact, in order. */
export function intactRows(rows: readonly Row[], bytes: Uint8Array): number {
  let offset = 0
  let count = 0
  for (const [, length, crc] of rows) {
    if (offset + length > bytes.length || crc32(bytes.subarray(offset, offset + length)) !== crc) break
    offset += length
    count++
  }
  return count
}

/**
 * Adds the records of these rows to `done`, as far as their rows were kept.
 * @returns how many of them had failed
 */
export function addRows(done: DoneSet, rows: readonly Rows[], kept: { out: number; err: number }): number {
  const left = { ...kept }
  let failed = 0
  for (const group of rows) {
    for (const [index] of group.out ?? []) if (left.out-- > 0) done.add(index)
    for (const [index] of group.err ?? []) if (left.err-- > 0 && done.add(index)) failed++
    for (const index of group.failed ?? []) if (done.add(index)) failed++
  }
  return failed
}
