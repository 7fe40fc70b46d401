/**
 * Node.js 20 gives `undefined` for a variable whose declaration has not run yet (newer ones throw), so it has to be
 * told from a variable that really is undefined.
 */
import type { Node } from './ast.ts'
import type { Declaration, Scope } from './scope.ts'
import type { Script } from './script.ts'

/** Whether a variable that reads as undefined must still be in its dead zone. */
export function inDeadZone({ kind, node, scope }: Declaration, script: Script): boolean {
  if (kind === 'class') return true
  if ((kind !== 'const' && kind !== 'let') || node.type !== 'VariableDeclarator' || !node.init) return false
  if (kind === 'const' && node.id.type === 'Identifier' && isSomething(node.init)) return true
  return runningOffsets(script).some((offset) => {
    const running = script.parsed()?.analysis.scope.around(offset)
    return offset < node.start && running !== undefined && body(running) === body(scope)
  })
}

/** Expressions that never give undefined. */
function isSomething(node: Node): boolean {
  return /^(Literal|TemplateLiteral|(Arrow)?FunctionExpression|ClassExpression|ObjectExpression|ArrayExpression|NewExpression|UpdateExpression|BinaryExpression)$/.test(
    node.type,
  )
}

/** The function body (or program) that a scope belongs to. */
function body(scope: Scope): Scope {
  let each = scope
  while (!each.hoists && each.parent) each = each.parent
  return each
}

/** Where the calls that are running now stand in a script, as the engine counts. */
function runningOffsets(script: Script): number[] {
  const { prepareStackTrace, stackTraceLimit } = Error
  try {
    Error.stackTraceLimit = 200
    Error.prepareStackTrace = (_, sites) => sites
    const sites = new Error().stack as unknown as NodeJS.CallSite[]
    return sites.flatMap((site) => {
      const name = site.getFileName() ?? site.getEvalOrigin()
      if (name !== script.url && name !== script.file) return []
      return [script.offset((site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1)]
    })
  } finally {
    Error.prepareStackTrace = prepareStackTrace
    Error.stackTraceLimit = stackTraceLimit
  }
}
