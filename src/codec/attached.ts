import type { Decoder } from './decoder.ts'
import type { Encoded } from './index.ts'

/** The attachments of one message, each of which it may name once. */
export class AttachmentReader {
  #stores: Encoded['attachments'] = []
  #bases: number[] | undefined
  #taken: boolean[] | undefined
  /** Offset in the sender's buffer at which a buffer of this message begins. */
  #baseOf: Map<object, number> | undefined

  open(stores: Encoded['attachments'], bases: number[] | undefined): void {
    this.#stores = stores
    this.#bases = bases
  }

  close(): void {
    this.#stores = []
    this.#bases = undefined
    this.#taken = undefined
    this.#baseOf = undefined
  }

  /** An attachment as a buffer of its own. */
  take(decoder: Decoder, index: number): ArrayBuffer | SharedArrayBuffer {
    const store = this.#stores[index]
    this.#taken ??= []
    if (store === undefined || this.#taken[index] === true) throw decoder.failure('an attachment is missing')
    this.#taken[index] = true
    const base = this.#bases?.[index]
    if (base !== undefined && base > 0) {
      this.#baseOf ??= new Map()
      this.#baseOf.set(store, base)
    }
    return store
  }

  /** The bytes of an attachment, to be read at once. */
  bytes(decoder: Decoder, index: number): Uint8Array {
    return new Uint8Array(this.take(decoder, index))
  }

  /** Where, in the sender's buffer, this buffer began. */
  base(store: object): number {
    return this.#baseOf?.get(store) ?? 0
  }
}
