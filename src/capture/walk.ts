/**
 * Finds everything that a function needs: from the function over its free names to other functions, classes and
 * values, until nothing new turns up. README.md in this folder has the picture.
 */
import { types } from 'node:util'
import { encode } from '../codec/encode.ts'
import type { Encoded } from '../codec/index.ts'
import { pack } from '../codec/pack.ts'
import { CaptureError, EncodeError } from '../errors.ts'
import type { Callable } from './ast.ts'
import { knownFunction } from './builtins.ts'
import { describeClass, describeFunction } from './classes.ts'
import type { Code } from './freevars.ts'
import { codeOf } from './freevars.ts'
import type {
  Change,
  CodeEntity,
  Entity,
  Graph,
  HandleEntity,
  ImportEntity,
  ModulePath,
  Slot,
} from './graph.ts'
import { handleOptions } from './handles.ts'
import { Inspector, NoInspector } from './inspector.ts'
import { runtimeNameOf } from './library.ts'
import { refuseLexical, resolveNames } from './names.ts'
import { definedOf, type Patch, patchesOf } from './patches.ts'
import type { Trail } from './refuse.ts'
import { refuse } from './refuse.ts'
import { fileTarget, isLibrary, loadedExports } from './resolve.ts'
import type { Script } from './script.ts'
import { Scripts, startOf } from './scripts.ts'
import { type Place, show } from './sourcemap.ts'
import type { CaptureWarning } from './types.ts'
import { instanceTrouble, nodeObject, privateMembers, search, troubleOf, visitValues } from './values.ts'

/** Where a handle of `distribute()` keeps the user's function and its options. */
export const HANDLE = Symbol.for('dicomp.handle')

interface HandleParts {
  fn?: unknown
  module?: { url: string; exportName: string }
  options?: unknown
}
const CHANGES: Change[] = ['fixed', 'values', 'bindings']

export class Walk implements Graph {
  readonly entities: Entity[] = []
  readonly slots: Slot[] = []
  readonly warnings: CaptureWarning[] = []
  root!: Entity
  dir: string
  loads = false
  change: Change = 'fixed'
  private readonly memo = new Map<Callable, Entity>()
  private readonly queue: Entity[] = []
  /** Plain objects among the values that have accessors or hidden properties. */
  private readonly objects = new Set<object>()
  private readonly site: string | undefined
  private session: Inspector | undefined
  private finder: Scripts | undefined
  private home: Script | undefined
  /** There is no inspector, so no place can be told. */
  private blind = false
  private rootFn: Callable

  constructor(fn: Callable, site: string | undefined) {
    this.rootFn = fn
    this.site = site
    this.dir = process.cwd()
  }

  /** Walks, and encodes the values that it found. */
  run(): Encoded {
    try {
      this.root = this.entity(this.rootFn, undefined)
      for (;;) {
        for (const entity of this.queue.splice(0)) this.expand(entity)
        const objects = this.objects.size
        const { encoded, found, touched } = this.encode()
        const trails = found.length > 0 ? this.trailsTo(new Set(found)) : undefined
        for (const fn of found) this.entity(fn, trails?.get(fn))
        if (this.queue.length === 0 && this.objects.size === objects) {
          this.checkInstances(touched)
          return encoded
        }
      }
    } catch (error) {
      if (error instanceof NoInspector) this.withoutInspector(error, this.memo.get(this.rootFn)?.trail)
      throw error
    } finally {
      this.close()
    }
  }

  /** Runs something that may need the inspector again. */
  afterwards<T>(run: () => T): T {
    try {
      return run()
    } finally {
      this.close()
    }
  }

  private close(): void {
    this.session?.close()
    this.session = undefined
    this.finder = undefined
  }

  widen(change: Change): void {
    if (CHANGES.indexOf(change) > CHANGES.indexOf(this.change)) this.change = change
  }

  /** @throws CaptureError where there is no inspector */
  inspector(trail: Trail | undefined): Inspector {
    try {
      this.session ??= new Inspector()
      return this.session
    } catch (error) {
      if (!(error instanceof NoInspector)) throw error
      return this.withoutInspector(error, trail)
    }
  }

  private withoutInspector(error: NoInspector, trail: Trail | undefined): never {
    this.blind = true
    const what = `this process cannot look into closures (node:inspector: ${error.message})`
    const fix =
      "put the function in a module and use distribute.module(new URL('./task.ts', import.meta.url), 'name')"
    refuse({ reason: 'INSPECTOR', what, fix }, trail)
  }

  scripts(trail: Trail | undefined): Scripts {
    this.finder ??= new Scripts(this.inspector(trail), this.site)
    return this.finder
  }

  /** The script of a function and where its text stands in it. */
  locate(entity: CodeEntity): { script: Script; start: number } {
    if (entity.position) return entity.position
    const info = this.inspector(entity.trail).describe(entity.fn)
    const script = this.scripts(entity.trail).of(info, entity.code.text)
    const start =
      startOf(script, info.line, info.column, entity.code.text) ?? script.offset(info.line, info.column)
    entity.position = { script, start }
    if (entity.fn === this.rootFn) this.setHome(script)
    return entity.position
  }

  /** The script of a function again, as the engine has it: the file on disk turned out to be another text. */
  relocate(entity: CodeEntity): { script: Script; start: number } {
    const info = this.inspector(entity.trail).describe(entity.fn)
    const script = this.scripts(entity.trail).certain(info, entity.position?.script)
    const start =
      startOf(script, info.line, info.column, entity.code.text) ?? script.offset(info.line, info.column)
    entity.position = { script, start }
    if (entity.fn === this.rootFn) this.setHome(script)
    return entity.position
  }

  private setHome(script: Script): void {
    this.home = script
    this.dir = script.dir
  }

  /** Absolute path of the file of the distributed function, where that is known already. */
  get homeFile(): string | undefined {
    return this.home?.file
  }

  /** The script of the distributed function: its functions go by value, exported or not. */
  private homeScript(): Script | undefined {
    const root = this.memo.get(this.rootFn)
    if (!this.home && root?.kind === 'code') this.locate(root)
    return this.home
  }

  /** Where an offset in the text of a function stands in the source that was written. */
  placeOf(entity: CodeEntity, offset: number): Place {
    const { script, start } = this.locate(entity)
    return script.place(start + offset)
  }

  /** `file:line:column` of an offset in the text of a function, as it was written. */
  where(entity: CodeEntity, offset: number): string {
    if (this.blind) return 'unknown place'
    try {
      return show(this.placeOf(entity, offset))
    } catch (error) {
      if (error instanceof CaptureError) return 'unknown place'
      throw error
    }
  }

  /** The place is found when somebody asks for it: that may need the debugger. */
  warn(reason: CaptureWarning['reason'], message: string, entity: CodeEntity, offset: number): void {
    const where = () => this.afterwards(() => this.where(entity, offset))
    this.warnings.push({
      reason,
      message,
      get at() {
        return where()
      },
    })
  }

  // ------------------------------------------------------------------------------------------------- functions

  /** The entity of a function or class; the same one for the same function. */
  entity(fn: Callable, from: Trail | undefined): Entity {
    const known = this.memo.get(fn)
    if (known) return known
    if (types.isProxy(fn)) {
      const fix = 'capture the function behind the proxy'
      refuse({ reason: 'HOST_OBJECT', what: 'the value is a Proxy, which cannot travel', fix }, from)
    }
    const handle = (fn as { [HANDLE]?: HandleParts })[HANDLE]
    if (handle) return this.handle(fn, handle, from)
    const text = Function.prototype.toString.call(fn)
    if (/\{\s*\[native code\]\s*\}$/.test(text)) return this.native(fn, from)
    const code = this.parse(fn, text, from)
    const entity: CodeEntity = {
      kind: 'code',
      fn,
      index: -1,
      preferred: fn.name || code.id?.name || 'distributed',
      trail: from as never,
      code,
      position: undefined,
      uses: new Map(),
      edits: [],
      parent: undefined,
      linked: false,
      privates: undefined,
    }
    const isClass = code.form === 'class'
    const word = isClass ? 'class' : 'function'
    entity.trail = {
      from,
      lines: () => [`${word} ${fn.name || '(anonymous)'} (${this.where(entity, 0)})`],
    }
    // Without free names there is nothing that could differ from what the module would give.
    const free = code.free.size === 0 && code.loads.length === 0 && code.lexical.length === 0 && !isClass
    if (fn !== this.rootFn && !(free && patchesOf(entity).length === 0)) {
      const elsewhere = this.elsewhere(entity, from)
      if (elsewhere) return elsewhere
    }
    return this.add(entity)
  }

  /** An entity that comes from a module. */
  imported(fn: Callable, module: ModulePath, preferred: string, from: Trail | undefined): Entity {
    const known = this.memo.get(fn)
    if (known) return known
    const lines = () => [`${preferred} from '${module.target.specifier}'`]
    return this.add({
      kind: 'import',
      fn,
      index: -1,
      preferred,
      trail: { from, lines },
      module,
    } as ImportEntity)
  }

  private add<T extends Entity>(entity: T): T {
    entity.index = this.entities.push(entity) - 1
    this.memo.set(entity.fn, entity)
    this.queue.push(entity)
    return entity
  }

  private parse(fn: Callable, text: string, from: Trail | undefined): Code {
    try {
      const code = codeOf(text)
      if (code.strict) return code
    } catch (error) {
      // a RangeError is a text that is nested too deeply for the parser
      if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error
    }
    const name = fn.name || '(anonymous)'
    refuse(
      {
        reason: 'PARSE',
        what: `the text of function ${name} is not valid in a strict ES module`,
        fix: 'write it without `with`, octal numbers and other things that strict mode does not have',
      },
      { from, lines: () => [`function ${name}`] },
    )
  }

  /** The function as something that another process has by itself: an export of another module, a builtin. */
  private elsewhere(entity: CodeEntity, from: Trail | undefined): Entity | undefined {
    const { fn } = entity
    const info = this.inspector(from).describe(fn)
    const cheap = this.scripts(from).cheap(info, entity.code.text)
    if (!cheap) {
      const known = knownFunction(fn)
      if (known) return this.known(fn, known, from)
    }
    const { script, start } = this.locate(entity)
    if (script.url.startsWith('node:')) {
      if (from?.instance) refuse(nodeObject(fn), from)
      refuse(
        {
          reason: 'NODE_INTERNAL',
          what: `'${fn.name || '(anonymous)'}' is a function that Node.js itself created (in ${script.url})`,
          fix: 'create it inside the function, or in a module that the function imports',
        },
        { from, lines: () => [`function ${fn.name || '(anonymous)'}`] },
      )
    }
    if (script.file !== undefined && isLibrary(script.file)) return this.library(fn, script, from)
    if (script === this.homeScript()) return undefined
    const module = exportOf(script, start, fn, this.dir)
    return module && this.imported(fn, module, fn.name || 'imported', from)
  }

  private library(fn: Callable, script: Script, from: Trail | undefined): Entity {
    const target = { origin: 'library', specifier: 'dicomp' } as const
    const own = runtimeNameOf(fn)
    if (own) return this.imported(fn, { target, path: [own], form: 'import' }, own, from)
    if (script.parsed()?.exports.has(fn.name))
      return this.imported(fn, { target, path: [fn.name], form: 'import' }, fn.name, from)
    return refuse(
      {
        reason: 'NODE_INTERNAL',
        what: `'${fn.name || '(anonymous)'}' is a part of dicomp that is tied to this process`,
        fix: 'call distribute() inside the function, or import what it made from a module',
      },
      from,
    )
  }

  private native(fn: Callable, from: Trail | undefined): Entity {
    const known = knownFunction(fn)
    if (known) return this.known(fn, known, from)
    const name = fn.name || '(anonymous)'
    const trail: Trail = { from, lines: () => [`function ${name}`] }
    const { bound } = this.inspector(from).describe(fn)
    if (!bound) {
      refuse(
        {
          reason: 'NATIVE_FUNCTION',
          what: `'${name}' is a native function with no name that a worker could find it by`,
          fix: nameable(name)
            ? `call it in a function of yours, (...args) => ${name}(...args), or create it on the worker`
            : 'create it inside the function, on the worker',
        },
        trail,
      )
    }
    const parts = [bound.receiver, ...bound.args]
    const change = parts.some((part) => typeof part === 'object' && part !== null) ? 'values' : 'fixed'
    const slot = this.slot('bound', [bound.receiver, bound.args], trail, change)
    const preferred = name.replace(/^bound /, '')
    if (fn === this.rootFn) this.rootFn = bound.target
    const entity: Entity = { kind: 'bound', fn, index: -1, preferred, trail, target: undefined, slot }
    this.add(entity)
    entity.target = this.entity(bound.target, { from: trail, lines: () => ['binds'] })
    return entity
  }

  private known(
    fn: Callable,
    known: NonNullable<ReturnType<typeof knownFunction>>,
    from: Trail | undefined,
  ): Entity {
    const preferred = fn.name.replace(/\W/g, '') || 'native'
    if (known.kind === 'builtin') {
      const target = { origin: 'builtin', specifier: known.module } as const
      return this.imported(fn, { target, path: [known.name], form: 'import' }, preferred, from)
    }
    const trail: Trail = { from, lines: () => [known.expression] }
    return this.add({ kind: 'named', fn, index: -1, preferred, trail, expression: known.expression })
  }

  private handle(fn: Callable, parts: HandleParts, from: Trail | undefined): Entity {
    const trail: Trail = { from, lines: () => [`the distributed function ${fn.name || '(anonymous)'}`] }
    const preferred = fn.name || 'handle'
    const entity: HandleEntity = {
      kind: 'handle',
      fn,
      index: -1,
      preferred,
      trail,
      target: undefined,
      module: parts.module,
      options: parts.options,
      functions: new Map(),
    }
    this.add(entity)
    if (fn === this.rootFn && typeof parts.fn === 'function') this.rootFn = parts.fn
    if (typeof parts.fn === 'function' && !parts.module) entity.target = this.entity(parts.fn, trail)
    handleOptions(this, entity)
    return entity
  }

  /** What an entity needs in turn. */
  private expand(entity: Entity): void {
    if (entity.kind !== 'code') return
    refuseLexical(this, entity)
    if (entity.code.form === 'class') describeClass(this, entity)
    else describeFunction(this, entity)
    resolveNames(this, entity)
  }

  // ---------------------------------------------------------------------------------------------------- values

  slot(preferred: string, value: unknown, trail: Trail, change: Change, read?: () => unknown): Slot {
    const slot: Slot = { kind: 'slot', preferred, value, trail, change, read }
    this.slots.push(slot)
    this.widen(change)
    return slot
  }

  /** The captured values as they are now: `[values of the slots, properties of functions, classes and objects]`. */
  environment(): [unknown[], Patch[]] {
    for (const slot of this.slots) if (slot.read) slot.value = slot.read()
    const patches = this.entities.flatMap((entity) => patchesOf(entity))
    for (const object of this.objects) patches.push(...definedOf(object))
    return [this.slots.map(({ value }) => value), patches]
  }

  private encode(): { encoded: Encoded; found: Callable[]; touched: Set<Entity> } {
    const found: Callable[] = []
    const touched = new Set<Entity>()
    const indexOf = (fn: Callable): number => {
      const known = this.memo.get(fn)
      if (known) {
        touched.add(known)
        return known.index
      }
      const at = found.indexOf(fn)
      return this.entities.length + (at >= 0 ? at : found.push(fn) - 1)
    }
    const environment = this.environment()
    if (environment[1].length > 0) this.widen('values')
    try {
      const onDefined = (object: object) => {
        this.objects.add(object)
        this.widen('bindings')
      }
      const encoded = encode(environment, {
        path: 'env',
        entities: { indexOf, at: () => undefined },
        onDefined,
      })
      return { encoded, found, touched }
    } catch (error) {
      if (!(error instanceof EncodeError)) throw error
      this.explain(error)
    }
  }

  /** Turns the codec's refusal into one with the way from the function to the value. */
  private explain(error: EncodeError): never {
    this.refuseTrouble()
    const [, part, rest = ''] = /^env\[0\]\[(\d+)\](.*)$/s.exec(error.path) ?? []
    const slot = part === undefined ? undefined : this.slots[Number(part)]
    const what = error.message
      .replace(/^Cannot send [^\n]*?: /s, '')
      .replace(/^it is /, 'the value is ')
      .replace(/\n {2}Fix: [^\n]*$/, '')
    // what the codec advises is meant for arguments
    const fix = /\bplain (?:object|data)\b/.test(error.fix ?? '')
      ? 'make it inside the function, or in a module that exports it (the worker imports that itself), or capture a plain object'
      : (error.fix ?? '')
    refuse({ reason: 'VALUE', what, fix }, slot?.trail, slot ? [rest].filter(Boolean) : [error.path])
  }

  private refuseAt(
    trouble: NonNullable<ReturnType<typeof troubleOf>>,
    trail: Trail | undefined,
    path: string[],
  ): never {
    refuse(trouble, trail, trouble.label === undefined ? path : [...path, trouble.label])
  }

  /**
   * The ways to functions that are somewhere in the values, themselves or as classes of instances.
   * @throws CaptureError when such an instance cannot travel
   */
  private trailsTo(wanted: Set<Callable>): Map<Callable, Trail> {
    const trails = new Map<Callable, Trail>()
    for (const [root, from] of this.roots()) {
      visitValues(root, (value, path) => {
        const kind = typeof value === 'function' ? value : nearestClass(value)
        if (!kind || !wanted.has(kind) || trails.has(kind)) return false
        const instance = kind !== value
        const trouble = troubleOf(value)
        if (trouble) this.refuseAt(trouble, from, path())
        const lines = () => (instance ? [...path(), `instance of ${kind.name}`] : path())
        trails.set(kind, { from, lines, instance })
        return trails.size === wanted.size
      })
    }
    return trails
  }

  /** Every captured value with the way to it. */
  private *roots(): Generator<[value: unknown, trail: Trail | undefined]> {
    for (const slot of this.slots) yield [slot.value, slot.trail]
    for (const entity of this.entities) {
      for (const [, place, key, , value] of patchesOf(entity)) {
        const label = `${place === 1 ? '.prototype' : ''}.${String(key)}`
        yield [value, { from: entity.trail, lines: () => [label] }]
      }
    }
  }

  /** Classes of Node.js may be captured, but instances of them may not. */
  private checkInstances(touched: Set<Entity>): void {
    const opaque = [...touched].filter(({ fn }) => fn.prototype && instanceTrouble(fn))
    if (opaque.length === 0) return
    this.widen('bindings')
    this.refuseTrouble()
  }

  private refuseTrouble(): void {
    for (const [value, trail] of this.roots()) {
      const found = search(value, troubleOf)
      if (found) this.refuseAt(found.found, trail, found.path)
    }
  }
}

function nameable(name: string): boolean {
  return /^[A-Za-z_$][\w$]*$/.test(name)
}

/** The class of an instance, by its direct prototype. */
function nearestClass(value: unknown): Callable | undefined {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return undefined
  const proto: object | null = Object.getPrototypeOf(value)
  const made: unknown =
    proto === null ? undefined : Object.getOwnPropertyDescriptor(proto, 'constructor')?.value
  return typeof made === 'function' ? made : undefined
}

/** Whether instances of an entity must not travel, whoever sends them. */
export function isOpaque({ fn }: Entity): boolean {
  // The class says itself how its instances travel.
  if (typeof (fn as { [pack]?: unknown })[pack] === 'function') return false
  return Boolean(fn.prototype) && (privateMembers(fn).length > 0 || instanceTrouble(fn) !== undefined)
}

/** How a function is exported by the script that defines it at module level. */
function exportOf(script: Script, start: number, fn: Callable, root: string): ModulePath | undefined {
  const { file } = script
  if (file === undefined) return undefined
  const target = fileTarget(file, root)
  const loaded = loadedExports(file)?.exports
  if (loaded === fn) return { target, path: [], form: 'require' }
  const module = script.parsed()
  if (!module) return undefined
  if (module.defaultStart === start) return { target, path: ['default'], form: 'import' }
  for (const declaration of module.top.names.values()) {
    if (declaration.assigned) continue
    const { node } = declaration
    let made = node.type === 'VariableDeclarator' ? node.init : node
    while (
      made?.type === 'CallExpression' &&
      made.callee.type === 'Identifier' &&
      made.callee.name === '__name'
    )
      made = made.arguments[0] as typeof made
    if (made?.start !== start) continue
    for (const [exported, local] of module.exports) {
      if (local !== declaration.name) continue
      if (exported === 'module.exports') return { target, path: [], form: 'require' }
      const form = typeof loaded === 'object' && script.inPackage ? 'require' : 'import'
      return { target, path: [exported], form }
    }
  }
  return undefined
}
