/** Writes the graph as an ES module: real variables, kept names, one scope. README.md shows an example. */
import { PRIVATE } from './classes.ts'
import type { Alias, CodeEntity, Edit, Entity, Graph, ModulePath, ModuleUse } from './graph.ts'
import { optionsText } from './handles.ts'
import { Names } from './identifiers.ts'
import { isOpaque } from './walk.ts'

const RUNTIME = "globalThis[Symbol.for('dicomp.runtime')]"

/** A stretch of the entry: text of a function (`at`: offset in that text), or text of our own. */
export interface Piece {
  text: string
  from?: { entity: CodeEntity; at: number }
}

export interface Emitted {
  text: string
  hasImports: boolean
  pieces: Piece[]
}

export function emit(graph: Graph): Emitted {
  return new Emitter(graph).run()
}

class Emitter {
  private readonly graph: Graph
  private readonly names: Names
  private readonly imports: string[] = []
  private readonly pieces: Piece[] = []
  private readonly codes: CodeEntity[]
  private readonly aliases: Alias[]
  private readonly modules: ModuleUse[]

  constructor(graph: Graph) {
    this.graph = graph
    this.codes = graph.entities.filter((entity) => entity.kind === 'code')
    const used = new Set(
      this.codes.flatMap(({ uses }) =>
        [...uses.values()].flatMap((use) => (use.kind === 'members' ? [...use.members.values()] : [use])),
      ),
    )
    this.aliases = [...used].filter((use) => use.kind === 'alias')
    this.modules = [...used].filter((use) => use.kind === 'module')
    this.names = new Names(graph, this.codes, this.aliases, this.modules)
  }

  run(): Emitted {
    const { graph, names } = this
    const decode = names.fresh('decodeEnv')
    const entities = names.fresh('entities')
    this.body(decode, entities)
    const head = this.imports.map((line) => `${line}\n`).join('')
    const pieces = [{ text: `${head}export default (${decode}) => {\n` }, ...this.pieces, { text: '}\n' }]
    return {
      text: pieces.map(({ text }) => text).join(''),
      hasImports: this.imports.length > 0 || graph.loads,
      pieces,
    }
  }

  private body(decode: string, entities: string): void {
    const { graph, names } = this
    const { slots } = graph
    if (slots.length > 0) this.line(`let ${slots.map((slot) => names.of(slot)).join(', ')}`)
    for (const use of this.modules) this.module(use)
    const classes = this.codes.filter(({ code }) => code.form === 'class')
    const later = new Set<Entity>(classes)
    for (const entity of graph.entities)
      if (!later.has(entity) && entity.kind !== 'handle') this.entity(entity)
    for (const entity of inOrder(classes)) this.entity(entity)
    for (const entity of this.codes) if (entity.linked) this.link(entity)
    for (const entity of graph.entities) if (entity.kind === 'handle') this.entity(entity)
    for (const alias of this.aliases) {
      const [own, of] = [names.of(alias), names.of(alias.entity)]
      if (own !== of && names.first(alias)) this.line(`const ${own} = ${of}`)
    }
    this.line(`const ${entities} = [${graph.entities.map((entity) => names.of(entity)).join(', ')}]`)
    if (slots.length > 0 || graph.change !== 'fixed') this.decode(decode, entities)
    const open = graph.entities.some(isOpaque)
      ? `[${graph.entities.map((entity) => (isOpaque(entity) ? '() => {}' : names.of(entity))).join(', ')}]`
      : entities
    this.line(`return { fn: ${names.of(graph.root)}, entities: ${open} }`)
  }

  private decode(decode: string, entities: string): void {
    const { names } = this
    const [patches, e, p, k, f, v] = ['patches', 'e', 'p', 'k', 'f', 'v'].map((name) => names.fresh(name))
    const values = this.graph.slots.map((slot) => names.of(slot)).join(', ')
    this.line(`let ${patches}`)
    this.line(`;[[${values}], ${patches}] = ${decode}(${entities})`)
    this.line(
      `for (const [${e}, ${p}, ${k}, ${f}, ${v}] of ${patches}) Object.defineProperty(${p} ? ${entities}[${e}].prototype : typeof ${e} === 'number' ? ${entities}[${e}] : ${e}, ${k}, ` +
        `{ ...(${f} & 8 ? { get: ${v}[0], set: ${v}[1] } : { value: ${v}, writable: (${f} & 1) > 0 }), enumerable: (${f} & 2) > 0, configurable: (${f} & 4) > 0 })`,
    )
    for (const entity of this.codes) {
      if (!entity.privates) continue
      const name = names.of(entity)
      this.line(`${name}[${PRIVATE}](${names.of(entity.privates.slot)})`)
      this.line(`delete ${name}[${PRIVATE}]`)
    }
  }

  private line(text: string): void {
    this.pieces.push({ text: `${text}\n` })
  }

  // ---------------------------------------------------------------------------------------------------- modules

  private module(use: ModuleUse): void {
    const { names } = this
    const name = names.of(use)
    if (use.overrides.size === 0) {
      this.access(name, use.module)
      return
    }
    const own = [...use.overrides].map(
      ([key, slot]) => `get ${JSON.stringify(key)}() { return ${names.of(slot)} }`,
    )
    this.graph.loads = true
    this.line(`const ${name} = { __proto__: ${requireOf(use.module)}, ${own.join(', ')} }`)
  }

  /** Makes `name` stand for a part of a module. */
  private access(name: string, { target, path, form }: ModulePath): void {
    const { names } = this
    if (target.origin === 'library') {
      this.line(`const ${name} = ${RUNTIME}${path[0] === 'default' ? '' : members(path)}`)
      return
    }
    if (form === 'require') {
      this.graph.loads = true
      this.line(`const ${name} = ${requireOf({ target, path, form })}`)
      return
    }
    const from = JSON.stringify(target.specifier)
    const [first, ...rest] = path
    if (first === undefined) {
      this.imports.push(`import * as ${name} from ${from}`)
      return
    }
    const local = rest.length > 0 ? names.fresh(`${name}_module`) : name
    const imported = /^[A-Za-z_$][\w$]*$/.test(first) ? first : JSON.stringify(first)
    this.imports.push(`import { ${imported === local ? local : `${imported} as ${local}`} } from ${from}`)
    if (rest.length > 0) this.line(`const ${name} = ${local}${members(rest)}`)
  }

  // --------------------------------------------------------------------------------------------------- entities

  private entity(entity: Entity): void {
    const { names } = this
    const name = names.of(entity)
    switch (entity.kind) {
      case 'import':
        this.access(name, entity.module)
        return
      case 'named':
        if (name !== entity.expression) this.line(`const ${name} = ${entity.expression}`)
        return
      case 'bound': {
        const [target, slot] = [names.of(entity.target as Entity), names.of(entity.slot)]
        const args = names.fresh('args')
        this.line(
          `const ${name} = { ${JSON.stringify(entity.fn.name)}: function (...${args}) { return new.target ? ` +
            `Reflect.construct(${target}, [...${slot}[1], ...${args}]) : Reflect.apply(${target}, ${slot}[0], [...${slot}[1], ...${args}]) } }` +
            `[${JSON.stringify(entity.fn.name)}]`,
        )
        return
      }
      case 'handle': {
        const options = optionsText(entity.options, (fn) => {
          const inside = entity.functions.get(fn as never)
          return inside ? names.of(inside) : 'undefined'
        })
        const { module } = entity
        const what = module
          ? `.module(${JSON.stringify(module.url)}, ${JSON.stringify(module.exportName)}`
          : `(${names.of(entity.target as Entity)}`
        this.line(`const ${name} = ${RUNTIME}.distribute${what}, ${options})`)
        return
      }
      case 'code':
        this.code(entity, name)
    }
  }

  private code(entity: CodeEntity, name: string): void {
    const { code, fn } = entity
    const body = this.rewrite(entity)
    const given: unknown = Object.getOwnPropertyDescriptor(fn, 'name')?.value
    const wanted = typeof given === 'string' && given !== '' ? given : undefined
    const hidden = entity.edits.some(
      ({ start, end, to }) => code.id?.start === start && code.id.end === end && to === '',
    )
    const id = hidden ? undefined : code.id?.name
    if (code.form === 'method') {
      const key = JSON.stringify((wanted ?? name).replace(/^[gs]et /, ''))
      const accessor = code.head?.accessor
      const object = accessor ? 'Object.getOwnPropertyDescriptor({ ' : '({ '
      this.pieces.push({ text: `const ${name} = ${object}` }, ...body)
      this.line(accessor ? ` }, ${key}).${accessor}` : ` })[${key}]`)
      return
    }
    const natural = id ?? (entity === this.graph.root && wanted === undefined ? 'distributed' : name)
    const keyed = id === undefined && wanted !== undefined && natural !== wanted
    this.pieces.push({ text: `const ${name} = ${keyed ? `({ [${JSON.stringify(wanted)}]: ` : ''}` }, ...body)
    this.line(keyed ? ` })[${JSON.stringify(wanted)}]` : '')
    if (id !== undefined && wanted !== undefined && id !== wanted)
      this.line(
        `Object.defineProperty(${name}, 'name', { value: ${JSON.stringify(wanted)}, configurable: true })`,
      )
  }

  private link(entity: CodeEntity): void {
    const [name, parent] = [this.names.of(entity), this.names.of(entity.parent as Entity)]
    this.line(`Object.setPrototypeOf(${name}.prototype, ${parent}.prototype)`)
    if (Object.getPrototypeOf(entity.fn) === entity.parent?.fn)
      this.line(`Object.setPrototypeOf(${name}, ${parent})`)
  }

  /** The text of a function with its edits. */
  private rewrite(entity: CodeEntity): Piece[] {
    const { code } = entity
    const edits = [...entity.edits]
    for (const [name, use] of entity.uses) {
      const own = code.id?.name === name ? code.self : []
      for (const { start, end, shorthand, member } of [...(code.free.get(name) ?? []), ...own]) {
        if (use.kind === 'members') {
          const named = member && use.members.get(member.name)
          if (named) edits.push({ start, end: member.end, to: named })
          continue
        }
        const now = this.names.of(use)
        if (now !== name) edits.push({ start, end, to: shorthand ? `${name}: ${now}` : now })
      }
    }
    if (code.head) {
      const key = (entity.fn.name || this.names.of(entity)).replace(/^[gs]et /, '')
      edits.push({ ...code.head.key, to: `[${JSON.stringify(key)}]` })
    }
    return this.apply(entity, edits)
  }

  private apply(entity: CodeEntity, edits: Edit[]): Piece[] {
    const { text } = entity.code
    const pieces: Piece[] = []
    let at = 0
    // the outer one of two edits wins; at one place, an insertion goes first
    edits.sort((a, b) => a.start - b.start || b.end - a.end)
    for (const { start, end, to } of edits) {
      if (start < at) continue
      if (start > at) pieces.push({ text: text.slice(at, start), from: { entity, at } })
      pieces.push({ text: typeof to === 'string' ? to : this.names.of(to), from: { entity, at: start } })
      at = end
    }
    pieces.push({ text: text.slice(at), from: { entity, at } })
    return pieces.filter((piece) => piece.text !== '')
  }
}

/** A class comes after what it extends. */
function inOrder(classes: CodeEntity[]): CodeEntity[] {
  const done = new Set<CodeEntity>()
  const visit = (entity: CodeEntity) => {
    if (done.has(entity)) return
    if (entity.parent?.kind === 'code' && entity.parent.code.form === 'class') visit(entity.parent)
    done.add(entity)
  }
  classes.forEach(visit)
  return [...done]
}

function requireOf({ target, path }: ModulePath): string {
  return `require(${JSON.stringify(target.specifier)})${members(path)}`
}

function members(path: string[]): string {
  return path
    .map((name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`))
    .join('')
}
