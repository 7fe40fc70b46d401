/** Names in the entry: everything keeps the name that it has in the program, unless two things would share one. */
import { GLOBALS } from './builtins.ts'
import type { Alias, CodeEntity, Entity, Graph, ModuleUse, Named } from './graph.ts'

const RESERVED = new Set(
  (
    'arguments await break case catch class const continue debugger default delete do else enum eval export extends ' +
    'false finally for function if implements import in instanceof interface let new null package private protected ' +
    'public return static super switch this throw true try typeof var void while with yield'
  ).split(' '),
)

/** A text in which something is named, and the name that it has there (undefined: the text gets a new name). */
interface Context {
  code: CodeEntity
  original: string | undefined
}

export class Names {
  private readonly given = new Map<Named, string>()
  private readonly taken = new Set<string>()
  /** All names in all texts: a new name is none of them. */
  private readonly seen = new Set<string>()
  private readonly contexts = new Map<Named, Context[]>()
  private readonly leaders = new Map<string, Alias>()

  constructor(graph: Graph, codes: CodeEntity[], aliases: Alias[], modules: ModuleUse[]) {
    for (const { code, uses } of codes) {
      for (const name of code.names) this.seen.add(name)
      for (const name of code.free.keys()) if (!uses.has(name)) this.taken.add(name)
    }
    for (const name of ['globalThis', 'Symbol', 'Object', 'Reflect', 'require']) this.taken.add(name)
    this.collect(codes)
    const first = new Map<Entity, Alias>()
    for (const alias of aliases) if (!first.has(alias.entity)) first.set(alias.entity, alias)
    for (const entity of graph.entities) this.nameEntity(entity, first.get(entity), aliases)
    for (const slot of graph.slots) this.allocate(slot)
    for (const use of modules) this.allocate(use)
    for (const alias of aliases) {
      if (this.given.has(alias)) continue
      const key = `${alias.entity.index}:${alias.preferred}`
      const leader = this.leaders.get(key)
      if (leader && this.fits(this.of(leader), this.contexts.get(alias)))
        this.given.set(alias, this.of(leader))
      else {
        this.allocate(alias)
        this.leaders.set(key, alias)
      }
    }
  }

  of(named: Named): string {
    return this.given.get(named) ?? '__unnamed'
  }

  /** Whether this alias declares its name (others may share it). */
  first(alias: Alias): boolean {
    return this.leaders.get(`${alias.entity.index}:${alias.preferred}`) === alias
  }

  /** A name for something of our own. */
  fresh(preferred: string): string {
    let name = preferred
    for (let count = 1; this.taken.has(name) || this.seen.has(name); count++) name = `${preferred}$${count}`
    this.taken.add(name)
    return name
  }

  private collect(codes: CodeEntity[]): void {
    const note = (named: Named, code: CodeEntity, original: string | undefined) => {
      const list = this.contexts.get(named)
      if (list) list.push({ code, original })
      else this.contexts.set(named, [{ code, original }])
    }
    for (const code of codes) {
      for (const [name, use] of code.uses) {
        if (use.kind === 'members') for (const member of use.members.values()) note(member, code, undefined)
        else note(use, code, name)
      }
      for (const { to } of code.edits) if (typeof to !== 'string') note(to, code, undefined)
    }
  }

  private nameEntity(entity: Entity, alias: Alias | undefined, aliases: Alias[]): void {
    const preferred = alias?.preferred ?? entity.preferred
    const sharing = aliases.filter((each) => each.entity === entity && each.preferred === preferred)
    const contexts = [entity, ...sharing].flatMap((each) => this.contexts.get(each) ?? [])
    // a global keeps its name; nothing else in the entry gets the name of a global
    const name =
      entity.kind === 'named' && GLOBALS.has(entity.expression) && this.fits(entity.expression, contexts)
        ? entity.expression
        : this.choose(preferred, contexts)
    this.given.set(entity, name)
    for (const each of sharing) this.given.set(each, name)
  }

  private allocate(named: Named): void {
    this.given.set(named, this.choose(named.preferred, this.contexts.get(named)))
  }

  private choose(preferred: string, contexts: Context[] | undefined): string {
    const usable =
      /^[A-Za-z_$][\w$]*$/.test(preferred) &&
      !RESERVED.has(preferred) &&
      !this.taken.has(preferred) &&
      !GLOBALS.has(preferred)
    if (usable && this.fits(preferred, contexts)) {
      this.taken.add(preferred)
      return preferred
    }
    return this.fresh(/^[A-Za-z_$][\w$]*$/.test(preferred) ? `${preferred}$1` : 'value')
  }

  /** Whether a name means the same thing in every text that will use it. */
  private fits(name: string, contexts: Context[] | undefined): boolean {
    return (contexts ?? []).every(({ code, original }) => original === name || !code.code.names.has(name))
  }
}
