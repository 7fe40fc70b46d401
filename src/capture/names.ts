/** What the free names of a function stand for. */
import { types } from 'node:util'
import { builtinModuleOf, GLOBALS } from './builtins.ts'
import { inDeadZone } from './deadzone.ts'
import type { Alias, Change, CodeEntity, ModulePath, ModuleUse, Slot, Use } from './graph.ts'
import type { Import } from './imports.ts'
import { importOfVariable } from './imports.ts'
import { runtimeNameOf } from './library.ts'
import { refuse, type Trail, type Trouble } from './refuse.ts'
import { isConstExport, isEsm, loadedExports, resolveImport, type Target } from './resolve.ts'
import type { Declaration, Lexical, Reference } from './scope.ts'
import type { Script } from './script.ts'
import { show } from './sourcemap.ts'
import { isPlainData } from './values.ts'
import type { Walk } from './walk.ts'

interface Range {
  start: number
  end: number
}

/** Whether a part of the text was replaced, so that it does not matter any more. */
function isGone({ edits }: CodeEntity, { start, end }: Range): boolean {
  return edits.some((edit) => edit.start < edit.end && edit.start <= start && end <= edit.end)
}

// -------------------------------------------------------------------------------------- what depends on the place

const LEXICAL: Record<Lexical['kind'], (name?: string) => Trouble> = {
  this: () => ({
    reason: 'LEXICAL_THIS',
    what: 'an arrow function uses the `this` of its surroundings, which cannot be read from outside',
    fix: 'copy what it needs into a const (const { size } = this) and use that',
  }),
  arguments: () => ({
    reason: 'LEXICAL_ARGUMENTS',
    what: 'an arrow function uses the `arguments` of its surroundings, which cannot be read from outside',
    fix: 'use rest parameters, or copy what it needs into a const',
  }),
  'new.target': () => ({
    reason: 'LEXICAL_NEW_TARGET',
    what: 'an arrow function uses the `new.target` of its surroundings, which cannot be read from outside',
    fix: 'copy what it needs into a const and use that',
  }),
  super: () => ({
    reason: 'SUPER',
    what: 'a method that uses `super` cannot travel without its class',
    fix: 'capture the object or class, and call the method on it',
  }),
  private: (name) => ({
    reason: 'PRIVATE_METHOD',
    what: `a method that uses the private member #${name} cannot travel without its class`,
    fix: 'capture the class, and call the method on it',
  }),
  'import.meta': () => ({
    reason: 'IMPORT_META',
    what: 'the function uses import.meta, which would be another one on the worker',
    fix: 'copy what it needs into a const outside (const here = import.meta.url) and use that',
  }),
  eval: () => ({
    reason: 'EVAL',
    what: 'a direct eval() may use any variable around it, which cannot be known from outside',
    fix: 'use (0, eval)(text), which sees only globals, or a function',
  }),
  with: () => ({
    reason: 'PARSE',
    what: 'the function uses a `with` statement, which strict mode does not have',
    fix: 'name the object instead',
  }),
}

/** @throws CaptureError when the function depends on where its text stands */
export function refuseLexical(walk: Walk, entity: CodeEntity): void {
  const { code } = entity
  for (const lexical of code.lexical) {
    if (isGone(entity, lexical)) continue
    const trouble = LEXICAL[lexical.kind](lexical.name)
    refuse(
      trouble,
      at(walk, entity, trouble.reason === 'IMPORT_META' ? 'import.meta' : lexical.kind, lexical.start),
    )
  }
  for (const load of code.loads) {
    if (isGone(entity, load)) continue
    walk.loads = true
    if (load.specifier === undefined) {
      const text = code.text.slice(load.start, load.end)
      refuse(
        {
          reason: 'DYNAMIC_IMPORT',
          what: `which module ${text} loads is known only when it runs, so it cannot be bundled`,
          fix: 'import by a literal name; choose between several literal imports if need be',
        },
        at(walk, entity, text, load.start),
      )
    }
    const { script } = walk.locate(entity)
    const target = resolveImport(load.specifier, script.dir, walk.dir)
    if (code.text.startsWith('__vite', load.start))
      entity.edits.push({
        start: load.start,
        end: load.end,
        to: `import(${JSON.stringify(target.specifier)})`,
      })
    else if (target.specifier !== load.specifier)
      entity.edits.push({ ...load.argument, to: JSON.stringify(target.specifier) })
  }
}

function at(walk: Walk, entity: CodeEntity, what: string, offset: number): Trail {
  return { from: entity.trail, lines: () => [`uses ${what} at ${walk.where(entity, offset)}`] }
}

// ------------------------------------------------------------------------------------------------- free names

/** Finds what every free name of a function stands for. @throws CaptureError for what cannot travel */
export function resolveNames(walk: Walk, entity: CodeEntity): void {
  for (const [name, all] of entity.code.free) {
    const references = all.filter((reference) => !isGone(entity, reference))
    if (references.length === 0) continue
    const use = new Name(walk, entity, name, references).resolve()
    if (use) entity.uses.set(name, use)
    else noteProcessState(walk, entity, name, references)
  }
  ownName(walk, entity)
}

/** `function f() { … f … }`: inside a declaration, `f` is the variable, which may hold something else by now. */
function ownName(walk: Walk, entity: CodeEntity): void {
  const { code, fn } = entity
  if (code.form !== 'function' || !code.id || code.self.length === 0) return
  const { name, start, end } = code.id
  const { scopes } = walk.inspector(entity.trail).describe(fn)
  const scope = scopes.find(({ object }) => Object.hasOwn(object, name))
  if (!scope || scope.object[name] === fn) return
  const place = walk.locate(entity)
  const declaration = place.script.parsed()?.analysis.scope.around(place.start).find(name)
  if (declaration?.kind !== 'function' || declaration.start !== place.start + start) return
  const use = new Name(walk, entity, name, code.self).resolve()
  if (!use) return
  entity.uses.set(name, use)
  entity.edits.push({ start, end, to: '' })
}

/** What people expect to be the same everywhere; of `pid` and the like they know that it is not. */
const STATE = new Set(['argv', 'env'])

function noteProcessState(walk: Walk, entity: CodeEntity, name: string, references: Reference[]): void {
  if (name !== 'process') return
  for (const { member, start } of references) {
    if (!member || !STATE.has(member.name)) continue
    walk.warn(
      'PROCESS_STATE',
      `process.${member.name} in a distributed function is the worker's, not the caller's; capture it in a const to use the caller's`,
      entity,
      start,
    )
  }
}

/** Slots of variables, so that functions which share a variable share the slot. */
interface Variable {
  use: Slot | Alias
  value: unknown
  /** The function literals that have it: one literal has a variable of an outer call once. */
  users: Set<string>
}
const variables = new WeakMap<Walk, Map<string, Variable[]>>()

class Name {
  private readonly walk: Walk
  private readonly entity: CodeEntity
  private readonly name: string
  private readonly references: Reference[]
  private readonly trail: Trail
  private declaration: Declaration | undefined
  private script: Script | undefined

  constructor(walk: Walk, entity: CodeEntity, name: string, references: Reference[]) {
    this.walk = walk
    this.entity = entity
    this.name = name
    this.references = references
    const offset = references[0]?.start ?? 0
    this.trail = {
      from: entity.trail,
      lines: () => {
        const declared = this.declaredAt()
        return [
          `captures '${name}' at ${walk.where(entity, offset)}${declared ? ` (declared at ${declared})` : ''}`,
        ]
      },
    }
  }

  private declaredAt(): string | undefined {
    return this.script && this.declaration && show(this.script.place(this.declaration.start))
  }

  private refuse(trouble: Trouble): never {
    refuse(trouble, this.trail)
  }

  resolve(): Use | undefined {
    const { name, walk, entity } = this
    if (name === 'undefined') return undefined
    const { scopes } = walk.inspector(entity.trail).describe(entity.fn)
    const scope = scopes.find(
      ({ object, description }) =>
        description !== 'Global' && object !== globalThis && Object.hasOwn(object, name),
    )
    if (!scope) return this.global()
    if (name === 'require') this.refuseRequire()
    if (name === '__vite_ssr_import_meta__') {
      refuse(LEXICAL['import.meta'](), at(walk, entity, 'import.meta', this.references[0]?.start ?? 0))
    }
    this.find()
    const value = this.read(scope.object)
    const imported = this.imported()
    if (imported) return this.use(imported, value)
    if (!this.declaration && (name === 'exports' || name === 'module')) return this.ownExports(value)
    const own = runtimeNameOf(value)
    if (own) return this.module({ target: OWN, path: [own], form: 'import' })
    const builtin = builtinOf(value)
    if (builtin) return this.module(builtin)
    return this.variable(name, value, undefined)
  }

  /** Finds the declaration; a file that does not have it is not what runs. */
  private find(): void {
    const { walk, entity, name } = this
    let { script, start } = walk.locate(entity)
    let declaration = script.parsed()?.analysis.scope.around(start).find(name)
    const injected = /^(?:require|exports|module|__filename|__dirname|arguments)$/.test(name)
    if (!declaration && !injected) {
      ;({ script, start } = walk.relocate(entity))
      declaration = script.parsed()?.analysis.scope.around(start).find(name)
    }
    this.script = script
    this.declaration = declaration
  }

  private read(scope: Record<string, unknown>): unknown {
    let value: unknown
    try {
      value = scope[this.name]
    } catch {
      this.refuseDead()
    }
    if (value === undefined && this.declaration && this.script && inDeadZone(this.declaration, this.script))
      this.refuseDead()
    return value
  }

  private refuseDead(): never {
    this.refuse({
      reason: 'TDZ',
      what: `variable '${this.name}' has no value yet: it is declared further down than the call`,
      fix: 'call the distributed function after the declaration, or move the declaration up',
    })
  }

  private refuseRequire(): never {
    this.refuse({
      reason: 'DYNAMIC_IMPORT',
      what: 'the function uses `require` itself, and what it loads cannot be known',
      fix: "call require('name') with a literal name",
    })
  }

  // --------------------------------------------------------------------------------------------------- globals

  private global(): undefined {
    const { name } = this
    if (GLOBALS.has(name) || this.references.some((reference) => reference.typeof)) return undefined
    if (name in globalThis) {
      this.refuse({
        reason: 'GLOBAL',
        what: `the global '${name}' is one of this process; a worker does not have it`,
        fix: `copy it into a const (const value = ${name}) and use that`,
      })
    }
    return this.refuse({
      reason: 'UNDEFINED',
      what: `variable '${name}' is not defined anywhere`,
      fix: 'declare it, or correct the name',
    })
  }

  // --------------------------------------------------------------------------------------------------- imports

  private imported(): Import | undefined {
    const { declaration, script, name } = this
    if (!declaration || !script) return undefined
    if (declaration.kind === 'import') return script.parsed()?.imports.get(name)
    return importOfVariable(declaration)
  }

  private use(imported: Import, value: unknown): Use {
    const target = resolveImport(imported.specifier, (this.script as Script).dir, this.walk.dir)
    if (target.origin === 'project') this.walk.scripts(this.trail).suggest(target.file)
    if (target.origin === 'library') return this.library(target, imported.path)
    const { path, form } = imported
    if (path.length > 0) return this.part(this.pathOf(target, path, form, value), value, undefined)
    if (form === 'require') return this.required(target, value)
    if (!this.isStatic()) return this.module(this.pathOf(target, path, form, value))
    const members = new Map<string, Slot | Alias | ModuleUse>()
    for (const { member } of this.references) {
      if (!member || members.has(member.name)) continue
      const read = () => (value as Record<string, unknown>)[member.name]
      const found = this.tryRead(read)
      members.set(member.name, this.part(this.pathOf(target, [member.name], form, found), found, read))
    }
    return { kind: 'members', members }
  }

  /** This library: the slot has its own. */
  private library(target: Target, path: string[]): Use {
    if (path.length > 0 || !this.isStatic()) return this.module({ target, path, form: 'import' })
    const members = new Map<string, ModuleUse>()
    for (const { member } of this.references)
      if (member)
        members.set(member.name, this.module({ target, path: [member.name], form: 'import' }, member.name))
    return { kind: 'members', members }
  }

  /** Whether only properties of fixed names are read. */
  private isStatic(): boolean {
    return this.references.every(({ member, write }) => member !== undefined && !member.write && !write)
  }

  private tryRead(read: () => unknown): unknown {
    try {
      return read()
    } catch {
      return this.refuseDead()
    }
  }

  /** `const lib = require('lib')`: module.exports itself, which functions in it may use as `this`. */
  private required(target: Target, value: unknown): Use {
    const path = this.pathOf(target, [], 'require', value)
    if (typeof value === 'function' || goesByValue(value, target.origin))
      return this.part(path, value, undefined)
    const use = this.module(path)
    if (target.origin === 'builtin' || !this.isStatic()) return use
    for (const { member } of this.references) {
      if (!member || use.overrides.has(member.name)) continue
      const read = () => (value as Record<string, unknown>)[member.name]
      const found = this.tryRead(read)
      if (typeof found === 'function') {
        const module = { ...path, path: [member.name] }
        this.walk.imported(found, module, member.name, this.trail)
      } else if (goesByValue(found, target.origin)) {
        use.overrides.set(member.name, this.walk.slot(member.name, found, this.trail, 'values', read))
      }
    }
    return use
  }

  /** One export, or a property of one: functions by reference, plain data by value. */
  private part(
    path: ModulePath,
    value: unknown,
    read: (() => unknown) | undefined,
  ): Slot | Alias | ModuleUse {
    const preferred = path.path.at(-1) ?? this.name
    const name = read === undefined ? this.name : preferred === 'default' ? `${this.name}_default` : preferred
    if (typeof value === 'function') {
      const entity = this.walk.imported(value, path, fnName(name), this.trail)
      return { kind: 'alias', preferred: fnName(name), entity }
    }
    if (!goesByValue(value, path.target.origin)) return this.module(path, fnName(name))
    const key = `${this.script?.id}:${this.declaration?.start}:${path.path.join('.')}`
    return this.shared(key, value, () =>
      this.walk.slot(fnName(name), value, this.trail, read ? 'values' : importChange(path, value), read),
    )
  }

  private module(module: ModulePath, preferred = this.name): ModuleUse {
    const { target, path, form } = module
    const key = `module:${target.specifier}:${form}:${path.join('.')}:${preferred}`
    const use: ModuleUse = { kind: 'module', preferred, module, overrides: new Map() }
    const known = modules.get(this.walk) ?? new Map<string, ModuleUse>()
    modules.set(this.walk, known)
    const before = known.get(key)
    if (before) return before
    known.set(key, use)
    return use
  }

  /** How the entry gets at a part of a module, so that it is the very thing that the function sees here. */
  private pathOf(target: Target, path: string[], form: Import['form'], value: unknown): ModulePath {
    const plain: ModulePath = { target, path, form: 'import' }
    if (target.origin === 'builtin')
      return form === 'require' && path.length === 0 ? { ...plain, path: ['default'] } : plain
    const { file } = target
    if (form === 'esm' && path[0] !== 'default') return plain
    const loaded = file === undefined ? undefined : loadedExports(file)
    if (path[0] === 'default' && loaded && file !== undefined) {
      // `default` of CommonJS is module.exports for Node.js, and exports.default for compilers that see __esModule
      if (loaded.exports === value) return { target, path: path.slice(1), form: 'require' }
      if (path.length > 1 || isEsm(file)) return plain
      return { target, path, form: 'require' }
    }
    if (form === 'esm') return plain
    const shakable = file !== undefined && isEsm(file) && path.length > 0
    return form === 'interop' && path.length === 0
      ? plain
      : { target, path, form: shakable ? 'import' : 'require' }
  }

  // --------------------------------------------------------------------------------------------------- variables

  /** CommonJS: `exports.x` inside the module that exports it; only what is used travels. */
  private ownExports(value: unknown): Use {
    const members = new Map<string, Slot | Alias | ModuleUse>()
    if (this.name !== 'exports' || !this.isStatic()) {
      this.refuse({
        reason: 'NAMESPACE',
        what: `the function uses \`${this.name}\` of its own module as a whole`,
        fix: 'use the variables themselves, or exports.name',
      })
    }
    for (const { member } of this.references) {
      if (!member || members.has(member.name)) continue
      const read = () => (value as Record<string, unknown>)[member.name]
      members.set(member.name, this.variable(member.name, this.tryRead(read), read))
    }
    return { kind: 'members', members }
  }

  private variable(name: string, value: unknown, read: (() => unknown) | undefined): Slot | Alias {
    const { declaration, script, walk, references } = this
    const written = references.some((reference) => reference.write)
    if (written) this.warnWritten()
    const assigned = written || (declaration?.assigned ?? true)
    const constant = !assigned || (read === undefined && isInjected(name))
    const key = `${script?.id}:${declaration ? declaration.start : name}:${read ? 'member' : ''}`
    return this.shared(key, value, () => {
      if (typeof value === 'function' && (constant || read)) {
        const entity = walk.entity(value, this.trail)
        // its properties are captured too, and something in the script writes them
        if (entity.kind === 'code' && script?.parsed()?.analysis.mutated.has(name)) walk.widen('values')
        return { kind: 'alias', preferred: fnName(name), entity }
      }
      const change = read ? 'values' : constant ? changeOf(value, declaration) : 'bindings'
      return walk.slot(fnName(name), value, this.trail, change, read)
    })
  }

  /** The slot of a variable: one for a module-level name, one for each value of a name in a closure. */
  private shared<T extends Slot | Alias>(key: string, value: unknown, make: () => T): T {
    const { walk, entity, declaration, script } = this
    const all = variables.get(walk) ?? new Map<string, Variable[]>()
    variables.set(walk, all)
    const list = all.get(key) ?? []
    all.set(key, list)
    const single = declaration !== undefined && script?.parsed()?.isTop(declaration)
    const literal = `${entity.position?.script.id}:${entity.position?.start}`
    const found = list.find(
      (each) =>
        single || (Object.is(each.value, value) && !(declaration?.assigned && each.users.has(literal))),
    )
    const variable = found ?? { use: make(), value, users: new Set<string>() }
    variable.users.add(literal)
    if (!found) list.push(variable)
    return variable.use as T
  }

  private warnWritten(): void {
    const { walk, entity, name, references } = this
    const offset = references.find((reference) => reference.write)?.start ?? 0
    const message = `'${name}' is assigned inside the distributed function; the caller will not see the new value`
    walk.warn('WRITES_CAPTURED', message, entity, offset)
  }
}

const modules = new WeakMap<Walk, Map<string, ModuleUse>>()

/** Parameters of the function that Node.js puts around CommonJS. */
function isInjected(name: string): boolean {
  return name === '__filename' || name === '__dirname'
}

const OWN: Target = { origin: 'library', specifier: 'dicomp' }

/** A variable may hold a builtin module, or the namespace of one. */
function builtinOf(value: unknown): ModulePath | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const isNamespace = types.isModuleNamespaceObject(value)
  const object: unknown = isNamespace ? (value as { default?: unknown }).default : value
  if (typeof object !== 'object' || object === null || Object.getPrototypeOf(object) !== Object.prototype)
    return undefined
  const [first] = Object.keys(object)
  // most objects are no modules, and asking for each is expensive
  if (first === undefined || typeof Object.getOwnPropertyDescriptor(object, first)?.value !== 'function')
    return undefined
  const module = builtinModuleOf(object)
  if (module === undefined) return undefined
  const target = { origin: 'builtin', specifier: `node:${module}` } as const
  return { target, path: isNamespace ? [] : ['default'], form: 'import' }
}

function fnName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : 'value'
}

/** A variable that is never assigned again still changes once, if it was read before its declaration ran. */
function changeOf(value: unknown, declaration: Declaration | undefined): Change {
  if (value === undefined && declaration?.node.type === 'VariableDeclarator' && declaration.node.init)
    return 'bindings'
  return typeof value === 'object' && value !== null ? 'values' : 'fixed'
}

function importChange({ target, path }: ModulePath, value: unknown): Change {
  const constant =
    target.origin === 'project' && target.file !== undefined && isConstExport(target.file, path[0] ?? '')
  return constant ? changeOf(value, undefined) : 'bindings'
}

/** Plain data goes by value, so that the worker sees what the program made of it; a module is loaded for the rest. */
function goesByValue(value: unknown, origin: Target['origin']): boolean {
  if (origin === 'builtin' || origin === 'library' || typeof value === 'function') return false
  if (typeof value === 'symbol') return Symbol.keyFor(value) !== undefined
  if (typeof value !== 'object' || value === null) return true
  // a package may compare its frozen and empty objects by identity, and they cannot have changed
  if (origin === 'package' && (Object.isFrozen(value) || Reflect.ownKeys(value).length === 0)) return false
  return isPlainData(value)
}
