import type { ReadState } from './line-reader.ts'

/** Where a line goes: a result, or a failed input. */
export type Destination = 'out' | 'err'

/** Takes the lines of a run and gets them to where they belong. */
export interface Saver {
  /** Records whose lines are written, in earlier runs or in this one. */
  readonly saved: number
  /**
   * Adds a line (with its newline) about a record. Waits when too much is unwritten. With `text` undefined the
   * record is only noted as failed.
   */
  add(to: Destination, index: number, text: string | undefined): Promise<void>
  /** Writes what is pending. `complete` says that no record of the input is missing. */
  close(complete: boolean): Promise<void>
}

export interface SaverEvents {
  /** How far the input was read, at this moment. */
  read: () => ReadState
  /** A write failed in the background; the next `add` or `close` throws the same error. */
  failed: (error: Error) => void
}
