/** Stores a job: its code, captured values and arguments first, what makes it a job last. */
import { readFile } from 'node:fs/promises'
import { type Encoded, type Entities, encodeList, toFrame } from '../codec/index.ts'
import { payloadFrame } from '../nats/messages.ts'
import { isToken } from '../nats/subjects.ts'
import type { SlotProgram } from '../slot/protocol.ts'
import { Keeper } from './keeper.ts'
import { type JobRecord, newDetachedId, type Page } from './record.ts'
import { explain, type Store } from './store.ts'

/** A page of arguments is about so large, and has at most so many. */
const PAGE_BYTES = 1 << 20
const PAGE_TASKS = 20_000
/** Fewer numbers than this are written like other values when one of those follows. */
const FEW = 1000

export interface JobParts extends Pick<JobRecord, 'keepMs' | 'deadline' | 'retry' | 'logs'> {
  spec: JobRecord['spec']
  program: SlotProgram
}

export class Submission {
  readonly id: string
  readonly #store: Store
  readonly #keeper: Keeper
  readonly #entities: Entities | undefined
  readonly #pages: Page[] = []
  #numbers: number[] = []
  #lists: Encoded[] = []
  #bytes = 0
  #total = 0

  /** @param entities what the program and the caller both know */
  constructor(store: Store, name: string, entities?: Entities) {
    this.#store = store
    this.id = newDetachedId(name)
    this.#keeper = new Keeper(store.connection, this.id)
    this.#entities = entities
  }

  /** Arguments so far. */
  get total(): number {
    return this.#total
  }

  /**
   * The argument of the next task.
   * @throws EncodeError it cannot travel
   */
  async add(value: unknown): Promise<void> {
    this.#total++
    if (typeof value === 'number' && this.#lists.length === 0) {
      this.#numbers.push(value)
      if (this.#numbers.length >= PAGE_TASKS) await this.#flush()
      return
    }
    if (this.#numbers.length >= FEW) await this.#flush()
    const before = this.#numbers
    this.#numbers = []
    for (const number of before) this.#list(number, 0)
    this.#list(value, this.#total - 1)
    if (this.#bytes >= PAGE_BYTES || this.#lists.length >= PAGE_TASKS) await this.#flush()
  }

  /** Stores what is left, and the job. @returns its id */
  async submit({ program, spec, ...rest }: JobParts): Promise<string> {
    await this.#flush()
    const [code, env] = await kept(
      Promise.all([
        readFile(program.file).then((bytes) => this.#keeper.put(bytes)),
        this.#keeper.put(toFrame(program.env)),
      ]),
    )
    const { name, natives } = program
    const user = this.#store.connection.identity.split('.')[0] ?? ''
    await this.#store.submit({
      version: 1,
      id: this.id,
      user: isToken(user) ? user : '',
      submittedAt: Date.now(),
      total: this.#total,
      ...rest,
      spec,
      program: { name, code, natives: natives.map(({ path: _, ...native }) => native), env },
      pages: this.#pages,
    })
    return this.id
  }

  /** It does not become a job: what is stored of it is removed. */
  async abandon(): Promise<void> {
    await this.#store.purge(this.id).catch(() => {})
  }

  #list(value: unknown, index: number): void {
    const options = this.#entities ? { entities: this.#entities } : {}
    const { encoded, failed } = encodeList([value], options, () => `inputs[${index}]`)
    if (failed[0]) throw failed[0].error
    const { bytes, attachments } = encoded
    this.#bytes += bytes.length + attachments.reduce((sum, { byteLength }) => sum + byteLength, 0)
    this.#lists.push({ bytes, attachments })
  }

  async #flush(): Promise<void> {
    const count = this.#numbers.length + this.#lists.length
    if (count === 0) return
    const frame =
      this.#lists.length > 0
        ? payloadFrame({ kind: 'any', lists: this.#lists })
        : payloadFrame({ kind: 'f64', values: Float64Array.from(this.#numbers) })
    const start = (this.#pages.at(-1)?.start ?? 0) + (this.#pages.at(-1)?.count ?? 0)
    this.#numbers = []
    this.#lists = []
    this.#bytes = 0
    this.#pages.push({ start, count, kept: await kept(this.#keeper.put(frame)) })
  }
}

async function kept<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw explain(error)
  }
}
