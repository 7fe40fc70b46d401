/**
 * Lexical scopes of a piece of JavaScript: what each name refers to, which declarations are ever assigned again,
 * and what depends on the surroundings (`this` of an arrow function, `import.meta`, a direct `eval`, …).
 */
import type { ClassNode, FunctionNode, Node } from './ast.ts'
import { eachChild, literal, staticKey } from './ast.ts'

export type DeclarationKind =
  | 'var'
  | 'let'
  | 'const'
  | 'class'
  | 'function'
  | 'param'
  | 'catch'
  | 'import'
  /** The own name of a function or class expression, visible inside it only. */
  | 'self'

export interface Declaration {
  name: string
  kind: DeclarationKind
  /** Offset of the name. */
  start: number
  scope: Scope
  /** The declarator, function, class or import specifier. */
  node: Node
  /** Something other than its own initialiser gives it a value. */
  assigned: boolean
}

export interface Reference {
  name: string
  start: number
  end: number
  scope: Scope
  read: boolean
  write: boolean
  /** Operand of `typeof`: allowed to be undeclared. */
  typeof: boolean
  /** `{ x }`: renaming it needs `{ x: y }`. */
  shorthand: boolean
  /** `x.name` or `x['name']`: that name, where the expression ends, and whether it is written to. */
  member?: { name: string; end: number; write: boolean }
}

/** Something whose meaning is fixed by where the text stands. */
export interface Lexical {
  kind: 'this' | 'arguments' | 'super' | 'new.target' | 'import.meta' | 'eval' | 'private' | 'with'
  start: number
  end: number
  /** Name of the private member. */
  name?: string
}

/** `import(x)` or `require(x)`, or what vitest makes of the former. */
export interface Load {
  kind: 'import' | 'require'
  start: number
  end: number
  /** The argument, when it is a literal. */
  specifier: string | undefined
  argument: { start: number; end: number }
}

export class Scope {
  readonly names = new Map<string, Declaration>()
  readonly children: Scope[] = []
  /** Whether `var` declarations stop here. */
  readonly hoists: boolean
  readonly start: number
  readonly end: number
  readonly parent: Scope | undefined
  constructor(node: Node, parent: Scope | undefined, hoists: boolean) {
    this.start = node.start
    this.end = node.end
    this.hoists = hoists
    this.parent = parent
    parent?.children.push(this)
  }

  /** The declaration that a name refers to here. */
  find(name: string): Declaration | undefined {
    for (let scope: Scope | undefined = this; scope; scope = scope.parent) {
      const found = scope.names.get(name)
      if (found) return found
    }
    return undefined
  }

  /** The innermost scope around an offset (a scope that begins there does not count). */
  around(offset: number): Scope {
    for (let scope: Scope = this; ; ) {
      const inner = scope.children.find((child) => child.start < offset && offset < child.end)
      if (!inner) return scope
      scope = inner
    }
  }
}

export interface Analysis {
  scope: Scope
  /** References to names that the text does not declare. */
  free: Reference[]
  /** References to names that it does declare. */
  bound: { reference: Reference; declaration: Declaration }[]
  lexical: Lexical[]
  loads: Load[]
  /** Names whose properties are written somewhere (`x.a.b = 1`, `Object.assign(x, …)`). */
  mutated: Set<string>
}

const LOADERS = new Map<string, Load['kind']>([
  ['require', 'require'],
  ['__vite_ssr_dynamic_import__', 'import'],
])

/** What `this` and `arguments` mean: those of a function or class body, or those of the surroundings. */
type Owner = 'own' | 'outer'

/** Analyses a program, or a single function or class. */
export function analyse(root: Node): Analysis {
  return new Analyser(root).run(root)
}

class Analyser {
  private readonly references: Reference[] = []
  private readonly lexical: Lexical[] = []
  private readonly loads: Load[] = []
  private readonly mutated = new Set<string>()
  private readonly privates: Set<string>[] = []
  private readonly root: Scope
  /** `arguments` is not a name to resolve where a function around provides it. */
  private owner: Owner = 'outer'
  /** `super` belongs to a class or object literal that is part of the text. */
  private home = false

  constructor(root: Node) {
    this.root = new Scope(root, undefined, true)
  }

  run(root: Node): Analysis {
    if (root.type === 'Program') this.all(root.body, this.root)
    else this.visit(root, this.root)
    const free: Reference[] = []
    const bound: Analysis['bound'] = []
    for (const reference of this.references) {
      const declaration = reference.scope.find(reference.name)
      if (!declaration) free.push(reference)
      else {
        bound.push({ reference, declaration })
        if (reference.write) declaration.assigned = true
      }
    }
    return { scope: this.root, free, bound, lexical: this.lexical, loads: this.loads, mutated: this.mutated }
  }

  private all(nodes: readonly (Node | null)[], scope: Scope): void {
    for (const node of nodes) if (node) this.visit(node, scope)
  }

  private visit(node: Node, scope: Scope): void {
    switch (node.type) {
      case 'Identifier':
        this.refer(node, scope, { read: true })
        return
      case 'ThisExpression':
        if (this.owner === 'outer') this.note('this', node)
        return
      case 'Super':
        if (!this.home) this.note('super', node)
        return
      case 'MetaProperty':
        if (node.meta.name === 'import') this.note('import.meta', node)
        else if (this.owner === 'outer') this.note('new.target', node)
        return
      case 'PrivateIdentifier':
        if (!this.privates.some((names) => names.has(node.name))) this.note('private', node, node.name)
        return
      case 'FunctionDeclaration':
        if (node.id) this.declare(scope, node.id.name, 'function', node.id.start, node)
        this.function(node, scope)
        return
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
        this.function(node, scope)
        return
      case 'ClassDeclaration':
        if (node.id) this.declare(scope, node.id.name, 'class', node.id.start, node)
        this.class(node, scope)
        return
      case 'ClassExpression':
        this.class(node, scope)
        return
      case 'VariableDeclaration':
        for (const declarator of node.declarations) {
          this.pattern(declarator.id, scope, { kind: node.kind as 'var' | 'let' | 'const', node: declarator })
          if (declarator.init) this.visit(declarator.init, scope)
        }
        return
      case 'BlockStatement':
        this.all(node.body, new Scope(node, scope, false))
        return
      case 'ForStatement': {
        const inner = new Scope(node, scope, false)
        for (const part of [node.init, node.test, node.update, node.body]) if (part) this.visit(part, inner)
        return
      }
      case 'ForInStatement':
      case 'ForOfStatement': {
        const inner = new Scope(node, scope, false)
        if (node.left.type === 'VariableDeclaration') {
          this.visit(node.left, inner)
          if (node.left.kind === 'var')
            for (const declarator of node.left.declarations) this.pattern(declarator.id, inner, 'assign')
        } else this.pattern(node.left, inner, 'assign')
        this.visit(node.right, inner)
        this.visit(node.body, inner)
        return
      }
      case 'SwitchStatement': {
        this.visit(node.discriminant, scope)
        this.all(node.cases, new Scope(node, scope, false))
        return
      }
      case 'CatchClause': {
        const inner = new Scope(node, scope, false)
        if (node.param) this.pattern(node.param, inner, { kind: 'catch', node })
        this.all(node.body.body, new Scope(node.body, inner, false))
        return
      }
      case 'LabeledStatement':
        this.visit(node.body, scope)
        return
      case 'BreakStatement':
      case 'ContinueStatement':
      case 'ExportAllDeclaration':
        return
      case 'WithStatement':
        this.note('with', node)
        eachChild(node, (child) => this.visit(child, scope))
        return
      case 'AssignmentExpression':
        if (node.operator === '=') this.pattern(node.left, scope, 'assign')
        else if (node.left.type === 'Identifier') this.refer(node.left, scope, { read: true, write: true })
        else this.pattern(node.left, scope, 'assign')
        this.visit(node.right, scope)
        return
      case 'UpdateExpression':
        if (node.argument.type === 'Identifier') this.refer(node.argument, scope, { read: true, write: true })
        else this.pattern(node.argument, scope, 'assign')
        return
      case 'UnaryExpression':
        if (node.operator === 'typeof' && node.argument.type === 'Identifier')
          this.refer(node.argument, scope, { read: true, typeof: true })
        else if (node.operator === 'delete') this.pattern(node.argument, scope, 'assign')
        else this.visit(node.argument, scope)
        return
      case 'MemberExpression':
        this.member(node, scope, false)
        return
      case 'Property':
        if (node.computed) this.visit(node.key, scope)
        if (node.shorthand && node.value.type === 'Identifier')
          this.refer(node.value, scope, { read: true, shorthand: true })
        else this.method(node.method || node.kind !== 'init', () => this.visit(node.value, scope))
        return
      case 'CallExpression':
        this.call(node, scope)
        return
      case 'ImportExpression':
        this.load('import', node, node.source, scope)
        return
      case 'ImportDeclaration':
        for (const specifier of node.specifiers)
          this.declare(scope, specifier.local.name, 'import', specifier.local.start, specifier)
        return
      case 'ExportNamedDeclaration':
        if (node.declaration) this.visit(node.declaration, scope)
        else if (!node.source)
          for (const specifier of node.specifiers)
            if (specifier.local.type === 'Identifier') this.refer(specifier.local, scope, { read: true })
        return
      default:
        eachChild(node, (child) => this.visit(child, scope))
    }
  }

  private note(kind: Lexical['kind'], node: Node, name?: string): void {
    const { start, end } = node
    this.lexical.push(name === undefined ? { kind, start, end } : { kind, start, end, name })
  }

  private refer(
    node: { name: string; start: number; end: number },
    scope: Scope,
    how: { read?: boolean; write?: boolean; typeof?: boolean; shorthand?: boolean },
    member?: Reference['member'],
  ): void {
    const { name, start, end } = node
    if (name === 'arguments' && !scope.find('arguments')) {
      if (this.owner === 'outer') this.lexical.push({ kind: 'arguments', start, end })
      return
    }
    this.references.push({
      name,
      start,
      end,
      scope,
      read: how.read ?? false,
      write: how.write ?? false,
      typeof: how.typeof ?? false,
      shorthand: how.shorthand ?? false,
      ...(member ? { member } : {}),
    })
  }

  private declare(scope: Scope, name: string, kind: DeclarationKind, start: number, node: Node): void {
    let target = scope
    if (kind === 'var') while (!target.hoists && target.parent) target = target.parent
    const initialised = kind === 'function' || (node.type === 'VariableDeclarator' && Boolean(node.init))
    // `function f(x) { var x = 1 }`: one variable, declared by the parameter
    const existing = target.names.get(name) ?? (kind === 'var' ? this.parameter(target, name) : undefined)
    if (existing && existing.kind !== 'self') {
      if (initialised) existing.assigned = true
      return
    }
    target.names.set(name, { name, kind, start, scope: target, node, assigned: false })
  }

  private parameter(body: Scope, name: string): Declaration | undefined {
    const found = body.parent?.names.get(name)
    return found?.kind === 'param' ? found : undefined
  }

  /** Declares, or assigns to, the names of a pattern; its defaults and computed keys are ordinary expressions. */
  private pattern(node: Node, scope: Scope, how: 'assign' | { kind: DeclarationKind; node: Node }): void {
    switch (node.type) {
      case 'Identifier':
        if (how === 'assign') this.refer(node, scope, { write: true })
        else this.declare(scope, node.name, how.kind, node.start, how.node)
        return
      case 'ObjectPattern':
        for (const property of node.properties) {
          if (property.type === 'RestElement') {
            this.pattern(property.argument, scope, how)
            continue
          }
          if (property.computed) this.visit(property.key, scope)
          if (how === 'assign' && property.shorthand) {
            const target = property.value.type === 'AssignmentPattern' ? property.value.left : property.value
            if (target.type === 'Identifier') this.refer(target, scope, { write: true, shorthand: true })
            if (property.value.type === 'AssignmentPattern') this.visit(property.value.right, scope)
          } else this.pattern(property.value, scope, how)
        }
        return
      case 'ArrayPattern':
        for (const element of node.elements) if (element) this.pattern(element, scope, how)
        return
      case 'RestElement':
        this.pattern(node.argument, scope, how)
        return
      case 'AssignmentPattern':
        this.pattern(node.left, scope, how)
        this.visit(node.right, scope)
        return
      case 'MemberExpression':
        this.member(node, scope, true)
        return
      default:
        this.visit(node, scope)
    }
  }

  private member(node: Extract<Node, { type: 'MemberExpression' }>, scope: Scope, write: boolean): void {
    if (write) this.mutate(node.object)
    const name = staticKey(node)
    if (node.object.type === 'Identifier')
      this.refer(
        node.object,
        scope,
        { read: true },
        name === undefined ? undefined : { name, end: node.end, write },
      )
    else this.visit(node.object, scope)
    if (node.computed || node.property.type === 'PrivateIdentifier') this.visit(node.property, scope)
  }

  /** Notes that an object reachable from a name changes. */
  private mutate(node: Node): void {
    let root = node
    while (root.type === 'MemberExpression') root = root.object
    if (root.type === 'Identifier') this.mutated.add(root.name)
  }

  private call(node: Extract<Node, { type: 'CallExpression' }>, scope: Scope): void {
    const { callee } = node
    const first = node.arguments[0]
    if (callee.type === 'Identifier') {
      if (callee.name === 'eval' && !scope.find('eval')) this.note('eval', node)
      const kind = LOADERS.get(callee.name)
      if (kind && first && !this.declares(scope, callee.name)) {
        this.load(kind, node, first, scope)
        return
      }
    } else if (callee.type === 'MemberExpression' && callee.object.type === 'Identifier' && first) {
      if (callee.object.name === 'Object' || callee.object.name === 'Reflect') this.mutate(first)
    }
    this.visit(callee, scope)
    this.all(node.arguments, scope)
  }

  /** Whether an inner scope has a name of its own (`var` further down counts as soon as it was visited). */
  private declares(scope: Scope, name: string): boolean {
    const found = scope.find(name)
    return found !== undefined && found.kind !== 'import' && found.scope !== this.root
  }

  private load(kind: Load['kind'], node: Node, argument: Node, scope: Scope): void {
    const { start, end } = node
    this.loads.push({ kind, start, end, specifier: literal(argument), argument })
    this.visit(argument, scope)
  }

  /** Runs with `this`, `arguments` and `new.target` of its own. */
  private own(run: () => void): void {
    const before = this.owner
    this.owner = 'own'
    run()
    this.owner = before
  }

  /** Runs as a method of a literal or class that is part of the text: `super` is known. */
  private method(isMethod: boolean, run: () => void): void {
    const before = this.home
    if (isMethod) this.home = true
    run()
    this.home = before
  }

  private function(node: FunctionNode, outer: Scope): void {
    let scope = outer
    if (node.type === 'FunctionExpression' && node.id) {
      scope = new Scope(node, scope, false)
      this.declare(scope, node.id.name, 'self', node.id.start, node)
    }
    const params = new Scope(node, scope, false)
    const inside = () => {
      for (const param of node.params) this.pattern(param, params, { kind: 'param', node: param })
      if (node.body.type === 'BlockStatement') this.all(node.body.body, new Scope(node.body, params, true))
      else this.visit(node.body, params)
    }
    if (node.type === 'ArrowFunctionExpression') inside()
    else this.own(inside)
  }

  private class(node: ClassNode, outer: Scope): void {
    const scope = new Scope(node, outer, false)
    if (node.id) this.declare(scope, node.id.name, 'self', node.id.start, node)
    if (node.superClass) this.visit(node.superClass, scope)
    const members = node.body.body
    this.privates.push(
      new Set(
        members.flatMap((member) =>
          'key' in member && member.key.type === 'PrivateIdentifier' ? [member.key.name] : [],
        ),
      ),
    )
    for (const member of members) {
      if (member.type === 'StaticBlock') {
        this.method(true, () => this.own(() => this.all(member.body, new Scope(member, scope, true))))
        continue
      }
      if (member.computed) this.visit(member.key as Node, scope)
      const { value } = member
      if (value) {
        const field = member.type === 'PropertyDefinition' ? new Scope(value, scope, true) : scope
        this.method(true, () => this.own(() => this.visit(value, field)))
      }
    }
    this.privates.pop()
  }
}
