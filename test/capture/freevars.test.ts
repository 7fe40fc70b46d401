/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of functions */
import { describe, expect, test } from 'vitest'
import { codeOf } from '../../src/capture/freevars.ts'

/** Text of a function → its free names, and how it depends on its place. */
const CASES: [text: string, free: string, lexical?: string][] = [
  ['(a, b = c) => a + b + d', 'c d'],
  ['(a = b, b = 1) => a', ''],
  ['({ a, b: { c = d }, ...rest }) => [a, c, rest, b]', 'b d'],
  ['([a, , b = c, ...d]) => [a, b, d]', 'c'],
  ['({ [key]: value }) => value', 'key'],
  ['function f(n) { return n ? f(n - 1) : g }', 'g'],
  ['function (n) { return f(n) }', 'f'],
  ['() => { x = 1; var x; return x }', ''],
  ['() => { return y; { var y } }', ''],
  ['() => { for (var i = 0; i < n; i++); return i }', 'n'],
  ['() => { for (let i of xs) use(i); return i }', 'i use xs'],
  ['() => { for (const [k, v] of Object.entries(o)) f(k, v) }', 'Object f o'],
  ['() => { for (x of xs) y = x }', 'x xs y'],
  ['() => { for ({ a, b: c.d } of xs); }', 'a c xs'],
  ['() => { for (const k in o) if (k) break }', 'o'],
  ['() => { { let a = 1 } return a }', 'a'],
  ['() => { { function a() {} } return a }', 'a'],
  ['() => { a(); function a() { return b } }', 'b'],
  ['() => { try { a } catch (e) { e } finally { e } }', 'a e'],
  ['() => { try {} catch ({ code, ...rest }) { return code + rest } }', ''],
  ['() => { try {} catch { e } }', 'e'],
  ['() => { outer: while (a) { break outer } }', 'a'],
  ['() => { switch (a) { case b: let c; c; default: d } c }', 'a b c d'],
  ['() => { class A extends B { x = A; y = z; static s = w } return A }', 'B w z'],
  ['() => { const A = class C { m() { return C } }; return C }', 'C'],
  ['class A extends B { [k] = v; #p = q; m(x = y) { return x + this.#p + A + super.m() } }', 'B k q v y'],
  ['class A { static { let inner = outer; var v = inner } n() { return v } }', 'outer v'],
  ['class { get a() { return b } set a(v) { c = v } static async *d() { yield e } }', 'b c e'],
  ['class { x = () => this.y + z }', 'z'],
  ['(a) => ({ a, b, c: d, [e]: f, g() { return h }, get i() { return j }, k: k })', 'b d e f h j k'],
  ['() => ({ a, b } = c)', 'a b c'],
  ['() => { ({ a = b, c: d.e = f, ...g } = h) }', 'a b d f g h'],
  ['() => { [a, b.c, ...d[e]] = f }', 'a b d e f'],
  ['() => { a.b.c; a?.d; a["e"]; a[f] }', 'a f'],
  ['() => `x${a}y${`${b}`}`', 'a b'],
  ['() => tag`x${a}`', 'a tag'],
  ['() => { a++; --b; c += d; e ??= f; delete g.h; typeof i; void j }', 'a b c d e f g i j'],
  ['() => new A(...b)', 'A b'],
  ['async () => { for await (const x of a) yield_(x) }', 'a yield_'],
  ['function* () { const x = yield a; yield* b }', 'a b'],
  ['async function f() { await a }', 'a'],
  ['(a) => (b) => (c) => a + b + c + d', 'd'],
  ['() => { const a = 1; return () => { const b = a; return () => a + b + c } }', 'c'],
  ['function () { return arguments.length + this.x + new.target }', ''],
  ['function () { return () => this + arguments }', ''],
  ['() => this.x', '', 'this'],
  ['() => { function f() { return this } return () => this }', '', 'this'],
  ['() => arguments[0]', '', 'arguments'],
  ['(arguments_) => arguments_', ''],
  ['() => new.target', '', 'new.target'],
  ['() => import.meta.url', '', 'import.meta'],
  ['() => eval("a")', 'eval', 'eval'],
  ['() => (0, eval)("a")', 'eval'],
  ['(eval_) => eval_("a")', ''],
  ['m() { return super.m() }', '', 'super'],
  ['m() { return { __proto__: a, n() { return super.n() } } }', 'a'],
  ['async *m(a = b) { yield a }', 'b'],
  ['get x() { return a }', 'a'],
  ['set x(v) { a = v }', 'a'],
  ['[key + other](a) { return a + b }', 'b'],
  ['"quoted name"() { return a }', 'a'],
  ['get() { return a }', 'a'],
  ['async() { return a }', 'a'],
  ['static() { return a }', 'a'],
  ['m() { return this.#x }', '', 'private'],
  ['m(o) { return #x in o }', '', 'private'],
  ['() => { class A { #x; m(o) { return #x in o && o.#x } } return A }', ''],
  ['(undefined_) => undefined', 'undefined'],
  ['() => { const { a, ...b } = c, [d = a] = e; return b + d }', 'c e'],
  ['() => { let a = () => b, b = () => a; return a }', ''],
  ['(a, a2 = () => b) => { var b; return a2 }', 'b'],
  ['(a) => { var a; let b = a; return b }', ''],
  ['() => { const f = function g() { return g }; return g }', 'g'],
  ['async (x) => await x.y(z)', 'z'],
  ['() => /re/.test(a) && 0x10n', 'a'],
  ['() => { if (a) { const a = 1; return a } else return b }', 'a b'],
  ['() => { do { var x = y } while (x) }', 'y'],
  ['() => import("mod")', ''],
  ['() => import(name)', 'name'],
  ['() => require("mod")', ''],
  ['(require) => require("mod")', ''],
  ['() => { label: { continue_; break label } }', 'continue_'],
  ['() => a?.[b]?.(c)', 'a b c'],
  ['(x) => { "use strict"; return x ** y }', 'y'],
  ['() => ({ __proto__: a, async *[b]() {} })', 'a b'],
  ['() => { for (let i = 0, n = a.length; i < n; i++) (() => i)() }', 'a'],
  ['() => { for (let [a, b] = c; ; ) { d(a, b); break } }', 'c d'],
]

describe('free names', () => {
  test.each(CASES)('%s', (text, free, lexical = '') => {
    const code = codeOf(text)
    expect([...code.free.keys()].sort().join(' ')).toBe(free)
    expect([...new Set(code.lexical.map(({ kind }) => kind))].join(' ')).toBe(lexical)
  })
})

describe('references', () => {
  const references = (text: string, name: string) =>
    (codeOf(text).free.get(name) ?? []).map(({ start, end, ...rest }) => ({
      ...rest,
      text: text.slice(start, end),
    }))

  test('reads, writes and typeof are told apart', () => {
    const found = references('() => { a; a = 1; a += 1; a++; typeof a; [a] = b }', 'a')
    expect(found.map(({ read, write }) => `${read ? 'r' : ''}${write ? 'w' : ''}`)).toEqual([
      'r',
      'w',
      'rw',
      'rw',
      'r',
      'w',
    ])
    expect(found.filter((each) => each.typeof)).toHaveLength(1)
  })

  test('members of fixed names are known', () => {
    const found = references('() => { a.b; a["c"]; a[d]; a.e = 1; a?.f(); a }', 'a')
    expect(found.map(({ member }) => member?.name)).toEqual(['b', 'c', undefined, 'e', 'f', undefined])
    expect(found.map(({ member }) => member?.write ?? false)).toEqual([
      false,
      false,
      false,
      true,
      false,
      false,
    ])
  })

  test('shorthands are marked', () => {
    expect(references('() => ({ a, b: a })', 'a').map(({ shorthand }) => shorthand)).toEqual([true, false])
    expect(references('() => { ({ a = 1 } = {}) }', 'a').map(({ shorthand }) => shorthand)).toEqual([true])
  })

  test('every reference stands where the name is', () => {
    for (const [text] of CASES)
      for (const [name, list] of codeOf(text).free)
        for (const { start, end } of list) expect(text.slice(start, end)).toBe(name)
  })

  test('what only strict mode refuses is marked', () => {
    expect(codeOf('function () { return 010 }').strict).toBe(false)
    expect(codeOf('function () { return 8 }').strict).toBe(true)
    expect(() => codeOf('not a function')).toThrow(SyntaxError)
  })
})
