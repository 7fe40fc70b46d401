import { MAX_SHAPE_KEYS } from './tags.ts'

/** Nodes kept from one message to the next; a table beyond it starts anew. */
const MAX_KEPT = 8 * 1024
/** Nodes that one message may add; objects with other keys are then written key by key. */
const MAX_NODES = 64 * 1024
/** Longest key, in UTF-16 units, that a definition holds. */
const MAX_KEY = 254

/** A list of keys, as the path to a node of a tree: the root is the empty list. */
export class Shape {
  readonly key: string
  readonly parent: Shape | undefined
  readonly size: number
  /** The child taken last: objects of one kind come in runs. */
  next: Shape | undefined = undefined
  children: Map<string, Shape> | undefined = undefined
  /** The message that defined it last, and its number there. */
  message = -1
  id = 0
  #definition: Uint8Array | undefined | null = null

  constructor(key: string, parent: Shape | undefined) {
    this.key = key
    this.parent = parent
    this.size = parent === undefined ? 0 : parent.size + 1
  }

  /** What a message says to define it; undefined when it has too many keys, or too long ones. */
  get definition(): Uint8Array | undefined {
    if (this.#definition === null) this.#definition = define(this)
    return this.#definition
  }
}

/** All shapes seen, kept between messages so that their definitions are made once. */
export class ShapeTable {
  root = new Shape('', undefined)
  #nodes = 0

  /** Called before each message. */
  trim(): void {
    if (this.#nodes <= MAX_KEPT) return
    this.root = new Shape('', undefined)
    this.#nodes = 0
  }

  /** The list `from` with one more key; undefined when the table is full. */
  step(from: Shape, key: string): Shape | undefined {
    let to = from.children?.get(key)
    if (to === undefined) {
      if (this.#nodes >= MAX_NODES || from.size >= MAX_SHAPE_KEYS) return undefined
      this.#nodes++
      to = new Shape(key, from)
      from.children ??= new Map()
      from.children.set(key, to)
    }
    from.next = to
    return to
  }
}

/** Size of the rest (2 bytes), number of keys (1), then each key: its length and its characters (1 or 2 bytes each). */
function define(shape: Shape): Uint8Array | undefined {
  const keys: string[] = []
  for (let each = shape; each.parent !== undefined; each = each.parent) keys.unshift(each.key)
  const out: number[] = [0, 0, keys.length]
  for (const key of keys) {
    if (key.length > MAX_KEY) return undefined
    const start = out.length
    out.push(key.length)
    let wide = false
    for (let i = 0; i < key.length && !wide; i++) {
      const code = key.charCodeAt(i)
      wide = code > 255
      out.push(code)
    }
    if (!wide) continue
    out.length = start
    out.push(255, key.length)
    for (let i = 0; i < key.length; i++) out.push(key.charCodeAt(i) & 255, key.charCodeAt(i) >> 8)
  }
  const size = out.length - 2
  out[0] = size & 255
  out[1] = size >> 8
  return Uint8Array.from(out)
}
