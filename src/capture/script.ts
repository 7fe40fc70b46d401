/** A script that the engine runs: its text, where it stands, its scopes, imports and exports. */
import { dirname } from 'node:path'
import type { Node, Program } from './ast.ts'
import { literal, parse } from './ast.ts'
import type { Import } from './imports.ts'
import { importsOf } from './imports.ts'
import type { Analysis, Declaration, Scope } from './scope.ts'
import { analyse } from './scope.ts'
import type { Mapper, Place } from './sourcemap.ts'
import { mapperOf, pathOf } from './sourcemap.ts'

export class Script {
  readonly id: string
  readonly url: string
  /** Absolute path, or undefined for code that has no file. */
  readonly file: string | undefined
  readonly text: string
  private starts: number[] | undefined
  private mapper: Mapper | null | undefined
  private module: Module | null | undefined

  constructor(id: string, url: string, text: string) {
    this.id = id
    this.url = url.startsWith('/') ? `file://${url}` : url
    const path = pathOf(this.url.replace(/[?#].*$/, ''))
    this.file = path.includes('://') || path === '' || /^(node|evalmachine|\[)/.test(path) ? undefined : path
    this.text = text
  }

  /** Directory from which its imports resolve. */
  get dir(): string {
    return this.file === undefined ? process.cwd() : dirname(this.file)
  }

  get inPackage(): boolean {
    return this.file !== undefined && /[\\/]node_modules[\\/]/.test(this.file)
  }

  /** Offset of a 0-based line and column. */
  offset(line: number, column: number): number {
    return (this.lines()[line] ?? this.text.length) + column
  }

  /** 0-based line and column of an offset. */
  position(offset: number): { line: number; column: number } {
    const starts = this.lines()
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return { line: low, column: offset - (starts[low] as number) }
  }

  /** Where an offset stands in the source that was written. */
  place(offset: number): Place {
    const { line, column } = this.position(offset)
    return this.original(line, column) ?? { file: this.file ?? this.url, line: line + 1, column: column + 1 }
  }

  original(line: number, column: number): Place | undefined {
    if (this.mapper === undefined) this.mapper = mapperOf(this.text, this.url) ?? null
    return this.mapper?.(line, column)
  }

  /** Scopes, imports and exports; undefined when the parser does not take the text. */
  parsed(): Module | undefined {
    if (this.module === undefined) {
      try {
        this.module = new Module(parse(this.text).program)
      } catch {
        this.module = null
      }
    }
    return this.module ?? undefined
  }

  private lines(): number[] {
    if (this.starts) return this.starts
    const starts = [0]
    for (let at = this.text.indexOf('\n'); at >= 0; at = this.text.indexOf('\n', at + 1)) starts.push(at + 1)
    this.starts = starts
    return starts
  }
}

/** What a script declares, takes in and gives out at its module level. */
export class Module {
  readonly analysis: Analysis
  /** The scope of module-level names; a loader may have put it inside a function. */
  readonly top: Scope
  readonly imports: Map<string, Import>
  /** Exported name → local name. */
  readonly exports: Map<string, string>
  /** Offset of an anonymous default export. */
  readonly defaultStart: number | undefined

  constructor(program: Program) {
    this.analysis = analyse(program)
    const body = moduleBody(program)
    this.top = body.length > 0 ? this.scopeOf((body[0] as Node).start, program) : this.analysis.scope
    this.imports = importsOf(body)
    this.exports = exportsOf(body)
    const anonymous = body.find((node) => node.type === 'ExportDefaultDeclaration')
    this.defaultStart =
      anonymous?.type === 'ExportDefaultDeclaration' ? anonymous.declaration.start : undefined
  }

  /** Whether a declaration belongs to the module as a whole: there is one of it. */
  isTop(declaration: Declaration): boolean {
    for (let scope: Scope | undefined = this.top; scope; scope = scope.parent)
      if (declaration.scope === scope) return true
    return false
  }

  private scopeOf(start: number, program: Program): Scope {
    if ((program.body[0]?.start ?? start) === start) return this.analysis.scope
    return this.analysis.scope.around(start)
  }
}

/**
 * The statements of the module itself. tsx in CommonJS mode wraps them in `(() => { … })()`, vitest in
 * `async (__vite_ssr_exports__, …) => {{ … }}`.
 */
function moduleBody(program: Program): readonly Node[] {
  for (const statement of program.body) {
    if (statement.type !== 'ExpressionStatement') continue
    let { expression } = statement
    const called = expression.type === 'CallExpression' && expression.arguments.length === 0
    if (called && expression.type === 'CallExpression' && expression.callee.type !== 'Super')
      expression = expression.callee
    if (expression.type !== 'ArrowFunctionExpression' || expression.body.type !== 'BlockStatement') continue
    const first = expression.params[0]
    const vite = first?.type === 'Identifier' && first.name.startsWith('__vite_ssr_')
    if (!called && !vite) continue
    const only = expression.body.body
    return vite && only.length === 1 && only[0]?.type === 'BlockStatement' ? only[0].body : only
  }
  return program.body
}

/** Exports in the forms of ESM, esbuild (`__export`), tsc (`exports.x = x`) and vitest. */
function exportsOf(statements: readonly Node[]): Map<string, string> {
  const found = new Map<string, string>()
  const nameOf = (node: Node) => (node.type === 'Identifier' ? node.name : literal(node))
  for (const statement of statements) {
    if (statement.type === 'ExportNamedDeclaration') {
      const { declaration } = statement
      if (declaration?.type === 'VariableDeclaration')
        for (const { id } of declaration.declarations)
          if (id.type === 'Identifier') found.set(id.name, id.name)
      if (declaration && 'id' in declaration && declaration.id)
        found.set(declaration.id.name, declaration.id.name)
      if (!statement.source)
        for (const { exported, local } of statement.specifiers)
          found.set(nameOf(exported) ?? '', nameOf(local) ?? '')
    }
    if (statement.type === 'ExportDefaultDeclaration') {
      const { declaration } = statement
      if (declaration.type === 'Identifier') found.set('default', declaration.name)
      else if ('id' in declaration && declaration.id) found.set('default', declaration.id.name)
    }
    if (statement.type === 'ExpressionStatement') compiledExport(statement.expression, found)
  }
  return found
}

function compiledExport(node: Node, found: Map<string, string>): void {
  if (node.type === 'CallExpression' && node.callee.type === 'Identifier') {
    const [first, second] = node.arguments
    if (node.callee.name === '__export' && second?.type === 'ObjectExpression')
      for (const property of second.properties) {
        if (property.type !== 'Property') continue
        const key = property.key.type === 'Identifier' ? property.key.name : literal(property.key)
        const local = getterOf(property.value)
        if (key !== undefined && local) found.set(key, local)
      }
    const name = literal(first)
    const local = second && getterOf(second)
    if (node.callee.name === '__vite_ssr_exportName__' && name !== undefined && local) found.set(name, local)
  }
  if (node.type !== 'AssignmentExpression') return
  const { left, right } = node
  if (
    left.type !== 'MemberExpression' ||
    left.object.type !== 'Identifier' ||
    left.property.type !== 'Identifier'
  )
    return
  if (left.object.name === 'exports' && right.type === 'Identifier') found.set(left.property.name, right.name)
  if (left.object.name !== 'module' || left.property.name !== 'exports') return
  if (right.type === 'Identifier') found.set('module.exports', right.name)
  if (right.type !== 'ObjectExpression') return
  for (const property of right.properties)
    if (
      property.type === 'Property' &&
      property.key.type === 'Identifier' &&
      property.value.type === 'Identifier'
    )
      found.set(property.key.name, property.value.name)
}

/** `() => x`, `function () { return x }`, `() => { try { return x } catch {} }`: the name x. */
function getterOf(node: Node): string | undefined {
  if (node.type !== 'ArrowFunctionExpression' && node.type !== 'FunctionExpression') return undefined
  let body: Node = node.body
  while (body.type === 'BlockStatement' || body.type === 'TryStatement' || body.type === 'ReturnStatement') {
    const next: Node | null | undefined =
      body.type === 'BlockStatement'
        ? body.body[0]
        : body.type === 'TryStatement'
          ? body.block
          : body.argument
    if (!next) return undefined
    body = next
  }
  return body.type === 'Identifier' ? body.name : undefined
}
