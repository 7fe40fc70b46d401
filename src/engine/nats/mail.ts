/** What is said to nodes: all that one node is to hear at about the same time travels together. */
import { type Confirmation, type ToNode, writeMessage } from '../../nats/messages.ts'

type Drop = Extract<ToNode, { type: 'drop' }>

/** Confirmations may wait this long for company: memory of nodes depends on them, and how soon one that drains can leave. */
const CONFIRM_MS = 50

/** Most of them in a message of another kind, whose size must not depend on them much. */
const BY_THE_WAY = 16

interface Bundle {
  got: Confirmation[]
  dropped: Drop['chunks']
  /** What has to be said one by one, after these. */
  rest: ToNode[]
}

export class Mail {
  readonly #client: string
  readonly #send: (node: string, bytes: Uint8Array) => void
  readonly #bundles = new Map<string, Bundle>()
  #urgent = false
  /** Confirmations wait. */
  #unposted = false
  #timer: NodeJS.Timeout | undefined

  /** @param send publishes to a node */
  constructor(client: string, send: (node: string, bytes: Uint8Array) => void) {
    this.#client = client
    this.#send = send
  }

  /** A result or a loss has arrived. */
  confirm(node: string, job: number, chunk: number, seq: number): void {
    this.#bundle(node).got.push([job, chunk, seq])
    if (!this.#unposted) queueMicrotask(() => this.#wait())
    this.#unposted = true
  }

  /** What is to be confirmed to a node, for who says it in a message of another kind. */
  confirmations(node: string): Confirmation[] {
    return this.#bundles.get(node)?.got.splice(0, BY_THE_WAY) ?? []
  }

  drop(node: string, job: number, chunk: number): void {
    this.#soon(node).dropped.push([job, chunk])
  }

  dropTasks(node: string, job: number, chunk: number, start: number, end: number): void {
    this.#soon(node).rest.push({ type: 'dropTasks', client: this.#client, job, chunk, start, end })
  }

  forget(node: string, job: number): void {
    this.#soon(node).rest.push({ type: 'forget', client: this.#client, job })
  }

  /** Says now what waits; it is cheap beside something else that is sent. */
  post(): void {
    const client = this.#client
    for (const [node, { got, dropped, rest }] of this.#bundles) {
      if (got.length > 0) this.#send(node, writeMessage({ type: 'confirm', client, got }))
      if (dropped.length > 0) this.#send(node, writeMessage({ type: 'drop', client, chunks: dropped }))
      for (const message of rest) this.#send(node, writeMessage(message))
    }
    this.#bundles.clear()
    this.#urgent = this.#unposted = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Mostly a chunk has left with them meanwhile: a timer would wake the process for nothing. */
  #wait(): void {
    if (this.#unposted) this.#timer ??= setTimeout(() => this.post(), CONFIRM_MS).unref()
  }

  /** All that is decided in one go is said together. */
  #soon(node: string): Bundle {
    if (!this.#urgent) queueMicrotask(() => this.#urgent && this.post())
    this.#urgent = true
    return this.#bundle(node)
  }

  #bundle(node: string): Bundle {
    let bundle = this.#bundles.get(node)
    if (!bundle) this.#bundles.set(node, (bundle = { got: [], dropped: [], rest: [] }))
    return bundle
  }
}
