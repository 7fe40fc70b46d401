import { isUtf8 } from 'node:buffer'
import { extendChecksum } from './checksum.ts'

/** A line of the input that is work. */
export interface InputRecord {
  /** Counts records, from 0. */
  index: number
  /** Counts lines as an editor does, from 1. */
  line: number
  text: string
  /** Why the line cannot be read, if so; `text` is then only for people. */
  problem?: string
}

/** What has been read: number of records, and a checksum of them all. */
export type ReadState = [records: number, crc: number]

export interface LineReaderOptions {
  /** Blank lines are no records (JSON Lines); otherwise each line is one. */
  skipBlank: boolean
  /** Longest line in bytes. @default 256 MiB: V8's strings end at 512 MiB */
  maxLine?: number
}

const LF = 10
const CR = 13
const BOM = Buffer.from([0xef, 0xbb, 0xbf])

/** Splits a byte stream into lines (LF or CRLF, UTF-8), with memory for one line only. */
export class LineReader implements AsyncIterable<InputRecord> {
  readonly #source: AsyncIterable<Uint8Array>
  readonly #options: Required<LineReaderOptions>
  #records = 0
  #lines = 0
  #bytes = 0
  #crc = 0

  constructor(source: AsyncIterable<Uint8Array>, options: LineReaderOptions) {
    this.#source = source
    this.#options = { maxLine: 256 * 1024 * 1024, ...options }
  }

  get state(): ReadState {
    return [this.#records, this.#crc]
  }

  /** Bytes of the lines that were handed out. */
  get bytes(): number {
    return this.#bytes
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<InputRecord, void, undefined> {
    const { maxLine } = this.#options
    let parts: Buffer[] = []
    let held = 0
    let dropped = 0
    for await (const bytes of this.#source) {
      const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      let from = 0
      for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, from)) {
        const tail = chunk.subarray(from, end)
        const line = held > 0 ? Buffer.concat([...parts, tail]) : tail
        parts = []
        const record = this.#take(line, dropped + line.length + 1, dropped > 0 || line.length > maxLine)
        held = 0
        dropped = 0
        from = end + 1
        if (record) yield record
      }
      if (from < chunk.length && dropped === 0) {
        const rest = chunk.subarray(from)
        // Copied: a small rest would keep the whole chunk alive, and the source may reuse it.
        parts.push(Buffer.from(rest))
        held += rest.length
        if (held > maxLine) {
          dropped = held
          parts = []
          held = 0
        }
      } else if (from < chunk.length) dropped += chunk.length - from
    }
    if (held > 0 || dropped > 0) {
      const record = this.#take(Buffer.concat(parts), held + dropped, dropped > 0)
      if (record) yield record
    }
  }

  #take(line: Buffer, bytes: number, tooLong: boolean): InputRecord | undefined {
    this.#lines++
    this.#bytes += bytes
    let body = line
    if (this.#lines === 1 && body.subarray(0, 3).equals(BOM)) body = body.subarray(3)
    if (body.length > 0 && body[body.length - 1] === CR) body = body.subarray(0, -1)
    const text = tooLong ? '' : body.toString('utf8')
    if (this.#options.skipBlank && !tooLong && text.trim() === '') return undefined
    this.#crc = extendChecksum(extendChecksum(this.#crc, body), '\n')
    const record: InputRecord = { index: this.#records++, line: this.#lines, text }
    if (tooLong) record.problem = `it is longer than ${Math.round(this.#options.maxLine / 2 ** 20)} MiB`
    else if (!isUtf8(body)) record.problem = 'it is not valid UTF-8'
    return record
  }
}
