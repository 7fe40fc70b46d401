/**
 * Reads the pieces of one upload, in batches: what is on its way is bounded, nothing is made on the server, and a
 * piece that is gone is an answer instead of a silence.
 */
import type { Hash } from 'node:crypto'
import type { Msg } from '@nats-io/transport-node'
import { BlobError } from '../errors.ts'
import type { Connection } from './connection.ts'
import { inboxOf } from './subjects.ts'

/** Where the bytes go that are read. */
export interface Intake {
  add(data: Uint8Array): void
}

/** Not all of them are there. */
export class MissingPieces extends Error {}

/** Pieces per request. The server sends them at once; it cuts off clients that leave 64 MB unread. */
const BATCH = 16
const STALLS = 3

let requests = 0

export class BlobReader {
  readonly #connection: Connection
  readonly #stream: string
  readonly #stallMs: number

  constructor(connection: Connection, stream: string, stallMs: number) {
    this.#connection = connection
    this.#stream = stream
    this.#stallMs = stallMs
  }

  /**
   * @param hash is fed with the bytes as they come
   * @param intake so is this; of `size` bytes in all when this resolves
   * @throws MissingPieces, BlobError when nothing comes, or more than `size` bytes
   */
  async read(
    subject: string,
    { size, pieces }: { size: number; pieces: number },
    hash: Hash,
    intake: Intake,
  ): Promise<void> {
    let at = 0
    let piece = 0
    let sequence = 1
    let stalls = 0
    while (piece < pieces) {
      // After a stall, a slow link gets the time for one piece.
      const batch = stalls > 0 ? 1 : Math.min(BATCH, pieces - piece)
      const before = piece
      const end = await this.#batch(subject, sequence, batch, (data, number) => {
        if (at + data.length > size) return false
        intake.add(data)
        hash.update(data)
        at += data.length
        piece++
        sequence = number + 1
        return true
      })
      if (end === 'none' || (end === 'done' && piece === before)) throw new MissingPieces()
      if (end === 'done') stalls = 0
      else if (++stalls > STALLS) {
        throw new BlobError(
          `The object store sent nothing for ${this.#stallMs} ms, ${stalls} times, after ${at} of ${size} bytes`,
          { fix: 'see the network and the log of the nats-server' },
        )
      }
      await this.#connection.untilUp()
    }
    if (at !== size) throw new MissingPieces()
  }

  /** @returns how it ended: as asked, nothing is there, or no answer */
  #batch(
    subject: string,
    sequence: number,
    batch: number,
    take: (data: Uint8Array, sequence: number) => boolean,
  ): Promise<'done' | 'none' | 'stalled'> {
    const { nc, identity } = this.#connection
    const inbox = `${inboxOf(identity)}.blob${requests++}`
    return new Promise((resolve, reject) => {
      let left = batch
      const end = (how: 'done' | 'none' | 'stalled' | Error) => {
        clearTimeout(timer)
        stopWatching()
        sub.unsubscribe()
        if (how instanceof Error) reject(how)
        else resolve(how)
      }
      const onMessage = (error: Error | null, msg: Msg) => {
        timer.refresh()
        if (error) return end(error)
        const code = msg.headers?.code ?? 0
        if (code === 404 || msg.headers === undefined) end('none')
        // 204 is the end of a batch; others are no answer to count on.
        else if (code !== 0) end(code === 204 ? 'done' : 'stalled')
        else if (!take(msg.data, Number(msg.headers.get('Nats-Sequence')))) end('none')
        else if (--left === 0) end('done')
      }
      const timer = setTimeout(() => end('stalled'), this.#stallMs)
      const stopWatching = this.#connection.onStatus(() => end('stalled'))
      const sub = nc.subscribe(inbox, { callback: onMessage })
      const body = JSON.stringify({ seq: sequence, next_by_subj: subject, batch })
      nc.publish(`$JS.API.DIRECT.GET.${this.#stream}`, body, { reply: inbox })
    })
  }
}
