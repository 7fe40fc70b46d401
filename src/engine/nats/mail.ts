/** What is said to nodes: all that one node is to hear of one batch of its messages travels together. */
import { type ToNode, writeMessage } from '../../nats/messages.ts'

type Confirm = Extract<ToNode, { type: 'confirm' }>
type Drop = Extract<ToNode, { type: 'drop' }>

interface Bundle {
  got: Confirm['got']
  dropped: Drop['chunks']
  /** What has to be said one by one, after these. */
  rest: ToNode[]
}

export class Mail {
  readonly #client: string
  readonly #send: (node: string, bytes: Uint8Array) => void
  readonly #bundles = new Map<string, Bundle>()

  /** @param send publishes to a node */
  constructor(client: string, send: (node: string, bytes: Uint8Array) => void) {
    this.#client = client
    this.#send = send
  }

  /** A result or a loss has arrived. */
  confirm(node: string, job: number, chunk: number, seq: number): void {
    this.#bundle(node).got.push([job, chunk, seq])
  }

  drop(node: string, job: number, chunk: number): void {
    this.#bundle(node).dropped.push([job, chunk])
  }

  dropTasks(node: string, job: number, chunk: number, start: number, end: number): void {
    this.#bundle(node).rest.push({ type: 'dropTasks', client: this.#client, job, chunk, start, end })
  }

  forget(node: string, job: number): void {
    this.#bundle(node).rest.push({ type: 'forget', client: this.#client, job })
  }

  #bundle(node: string): Bundle {
    let bundle = this.#bundles.get(node)
    if (bundle) return bundle
    // All messages that came with one packet are handled before this.
    if (this.#bundles.size === 0) queueMicrotask(() => this.#post())
    bundle = { got: [], dropped: [], rest: [] }
    this.#bundles.set(node, bundle)
    return bundle
  }

  #post(): void {
    const client = this.#client
    for (const [node, { got, dropped, rest }] of this.#bundles) {
      if (got.length > 0) this.#send(node, writeMessage({ type: 'confirm', client, got }))
      if (dropped.length > 0) this.#send(node, writeMessage({ type: 'drop', client, chunks: dropped }))
      for (const message of rest) this.#send(node, writeMessage(message))
    }
    this.#bundles.clear()
  }
}
