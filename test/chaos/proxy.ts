/** A network between one process and the server, on loopback, that can be cut, stalled, slowed and made lossy. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import type { Random } from './random.ts'

/** TCP waits about this long before it sends again what was lost. */
const RETRANSMIT_MS = 220
/** Of the pieces (about a packet each) of a lossy link. */
const LOSS = 0.1

export type Weather = 'clear' | 'cut' | 'stalled' | 'slow' | 'lossy'

export class FaultProxy {
  readonly port: number
  readonly #server: Server
  readonly #target: number
  readonly #random: Random
  readonly #pairs = new Set<{ sockets: [Socket, Socket]; wake(): void }>()
  #weather: Weather = 'clear'
  #delay = 0

  static async start(target: number, random: Random): Promise<FaultProxy> {
    const server = createServer({ noDelay: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return new FaultProxy(server, target, random)
  }

  private constructor(server: Server, target: number, random: Random) {
    this.#server = server
    this.#target = target
    this.#random = random
    this.port = (server.address() as { port: number }).port
    server.on('connection', (socket) => this.#accept(socket))
  }

  clear(): void {
    this.#weather = 'clear'
    this.#delay = 0
    for (const pair of this.#pairs) pair.wake()
  }

  /** Connections break, and new ones are refused. */
  cut(): void {
    this.#weather = 'cut'
    this.reset()
  }

  /** Nothing arrives any more, and nobody is told: a firewall that forgets, a cable that is pulled out. */
  stall(): void {
    this.#weather = 'stalled'
  }

  /** @param ms to each direction */
  slow(ms: number): void {
    this.#weather = 'slow'
    this.#delay = ms
  }

  /** Some packets take another round. */
  lossy(): void {
    this.#weather = 'lossy'
  }

  /** All connections break, in the middle of whatever they carry. */
  reset(): void {
    for (const { sockets } of [...this.#pairs]) for (const socket of sockets) socket.resetAndDestroy()
    this.#pairs.clear()
  }

  close(): void {
    this.#server.close()
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.destroy()
    this.#pairs.clear()
  }

  #accept(near: Socket): void {
    if (this.#weather === 'cut') return void near.resetAndDestroy()
    const far = dial({ port: this.#target, host: '127.0.0.1', noDelay: true })
    const wakers = [this.#carry(near, far), this.#carry(far, near)]
    const pair = {
      sockets: [near, far] as [Socket, Socket],
      wake: () => {
        for (const wake of wakers) wake()
      },
    }
    this.#pairs.add(pair)
    for (const socket of pair.sockets) {
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        for (const other of pair.sockets) other.destroy()
      })
    }
  }

  /** Order is kept, as TCP keeps it: a late piece holds up what follows. @returns to be called when the weather clears */
  #carry(from: Socket, to: Socket): () => void {
    const pieces: { data: Buffer; due: number }[] = []
    let timer: NodeJS.Timeout | undefined
    const send = (): void => {
      clearTimeout(timer)
      timer = undefined
      if (this.#weather === 'stalled') return
      const clear = this.#weather === 'clear'
      for (let piece = pieces[0]; piece !== undefined; piece = pieces[0]) {
        const wait = clear ? 0 : piece.due - performance.now()
        if (wait > 0) {
          timer = setTimeout(send, wait)
          return
        }
        pieces.shift()
        if (!to.destroyed) to.write(piece.data)
      }
      if (from.isPaused()) from.resume()
    }
    from.on('data', (data) => {
      pieces.push({ data, due: performance.now() + this.#wait() })
      if (timer === undefined) send()
      // What nobody carries away waits at its sender.
      if (pieces.length > 64) from.pause()
    })
    from.on('close', () => clearTimeout(timer))
    return send
  }

  #wait(): number {
    if (this.#weather === 'slow') return this.#delay
    if (this.#weather === 'lossy' && this.#random.chance(LOSS))
      return RETRANSMIT_MS * this.#random.between(1, 3)
    return 0
  }
}
