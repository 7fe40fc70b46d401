/**
 * The code that clients send, from the object store to the cache of this computer and into the slots. A bundle is
 * named by its content, so it is fetched once, and every later job, client and start of the agent finds it there.
 */
import { getCode, putCode } from '../capture/cache.ts'
import { type Encoded, fromFrame } from '../codec/index.ts'
import { BlobError, DicompError, LoadError } from '../errors.ts'
import type { Blobs } from '../nats/blobs.ts'
import type { BlobRef, Bytes, RemoteProgram } from '../nats/messages.ts'
import type { SlotProgram } from '../slot/protocol.ts'
import type { Natives } from './natives.ts'

/** Programs that are recognised when another job has them. */
const KEPT = 64
/** The cache names code by the first characters of its hash. */
const NAME_LENGTH = 32

export class Programs {
  readonly #blobs: Pick<Blobs, 'get' | 'shareFrame'>
  readonly #natives: Natives
  /** Name of the node, for people. */
  readonly #name: string
  readonly #programs = new Map<string, Promise<SlotProgram>>()
  /** Files of code that are being fetched. */
  readonly #fetching = new Map<string, Promise<string>>()
  #nextId = 1

  constructor(blobs: Pick<Blobs, 'get' | 'shareFrame'>, natives: Natives, name: string) {
    this.#blobs = blobs
    this.#natives = natives
    this.#name = name
  }

  /** The program as slots of this computer load it. Rejects with a LoadError that has the reason. */
  get(client: string, program: RemoteProgram): Promise<SlotProgram> {
    const key = `${client} ${program.id} ${program.code.hash}`
    const known = this.#programs.get(key)
    if (known) return known
    const made = this.#make(program)
    this.#programs.set(key, made)
    // A later job may have more luck.
    made.catch(() => this.#programs.delete(key))
    const [oldest] = this.#programs.keys()
    if (this.#programs.size > KEPT) this.#programs.delete(oldest as string)
    return made
  }

  async #make(program: RemoteProgram): Promise<SlotProgram> {
    const { name, code, natives, env } = program
    try {
      const [file, values, installed] = await Promise.all([
        this.#code(code),
        this.#values(env),
        Promise.all(natives.map((native) => this.#natives.get(native))),
      ])
      return { id: this.#nextId++, name, file, natives: installed, env: values }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      // The client that is told what is missing stores it again.
      const isSaid = cause instanceof DicompError && cause.fix && !(cause instanceof BlobError)
      const options = isSaid ? {} : { cause }
      throw new LoadError(`Node ${this.#name} cannot load the code of '${name}': ${why}`, options)
    }
  }

  async #values(env: Bytes): Promise<Encoded> {
    return 'inline' in env ? fromFrame(env.inline) : this.#blobs.shareFrame(env.blob)
  }

  /** Absolute path of the file with this code. */
  #code(code: BlobRef): Promise<string> {
    const { hash } = code
    let fetching = this.#fetching.get(hash)
    if (!fetching) {
      fetching = this.#fetch(code).finally(() => this.#fetching.delete(hash))
      this.#fetching.set(hash, fetching)
    }
    return fetching
  }

  async #fetch(code: BlobRef): Promise<string> {
    const known = getCode(code.hash.slice(0, NAME_LENGTH))
    return (known ?? putCode(await this.#blobs.get(code))).file
  }
}
