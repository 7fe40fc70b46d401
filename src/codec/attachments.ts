import { isBuffer } from './kinds.ts'
import { clearGiven, isGiven } from './transfer.ts'

interface Attachment {
  store: ArrayBuffer | SharedArrayBuffer
  /** Span that views cover; the whole when the buffer itself is a value. */
  first: number
  last: number
  whole: boolean
  /** Made by the encoder, so nobody minds when it moves. */
  fresh: boolean
}

/**
 * The backing stores of one message. Of a buffer that is only seen through views, no more than the span of bytes that
 * the views cover travels: a `subarray` of a large array must not drag the whole along.
 */
export class AttachmentTable {
  readonly #items: Attachment[] = []
  readonly #numbers = new Map<object, number>()

  get size(): number {
    return this.#items.length
  }

  /** The number of a new attachment. A `fresh` one was made by the encoder. */
  add(store: ArrayBuffer | SharedArrayBuffer, fresh = false): number {
    const given = !fresh && isBuffer(store) && isGiven(store)
    const number = this.#items.length
    this.#items.push({ store, first: Number.POSITIVE_INFINITY, last: 0, whole: fresh || given, fresh })
    this.#numbers.set(store, number)
    return number
  }

  /** The whole buffer has to travel, if `store` is an attachment. */
  keep(store: object): void {
    const number = this.#numbers.get(store)
    if (number !== undefined) this.#items[number]!.whole = true
  }

  /** The bytes `first` to `last - 1` have to travel, if `store` is an attachment. */
  cover(store: object, first: number, last: number): void {
    const number = this.#numbers.get(store)
    if (number === undefined) return
    const item = this.#items[number]!
    if (first < item.first) item.first = first
    if (last > item.last) item.last = last
  }

  truncate(size: number): void {
    for (let i = size; i < this.#items.length; i++) this.#numbers.delete(this.#items[i]!.store)
    this.#items.length = size
  }

  /** What goes into the Encoded, and where each attachment began in its buffer. */
  finish(): { attachments: (ArrayBuffer | SharedArrayBuffer)[]; bases: number[]; transfer: ArrayBuffer[] } {
    const attachments: (ArrayBuffer | SharedArrayBuffer)[] = []
    const bases: number[] = []
    const transfer: ArrayBuffer[] = []
    for (const item of this.#items) {
      const { store } = item
      if (!isBuffer(store)) {
        attachments.push(store)
        bases.push(0)
        continue
      }
      // Aligned, so that a view of any element size can begin where it began.
      const first = item.whole || item.last === 0 ? 0 : item.first - (item.first % 8)
      const last = item.whole ? store.byteLength : item.last
      bases.push(first)
      if (first === 0 && last === store.byteLength) {
        attachments.push(store)
        if (item.fresh) transfer.push(store)
        else if (isGiven(store)) {
          clearGiven(store)
          transfer.push(store)
        }
      } else {
        const span = store.slice(first, last)
        attachments.push(span)
        transfer.push(span)
      }
    }
    return { attachments, bases, transfer }
  }
}
