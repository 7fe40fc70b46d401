import { describe, expect, it } from 'vitest'
import { decode, type Entities, encode, pack, unpack } from '../../src/codec/index.ts'
import { DicompError, TaskTimeoutError } from '../../src/errors.ts'
import { difference } from './same.ts'

let constructed = 0
class Point {
  x: number
  y: number
  constructor(x: number, y: number) {
    constructed++
    this.x = x
    this.y = y
  }
  get length() {
    return Math.hypot(this.x, this.y)
  }
  set z(_: number) {
    throw new Error('a setter ran')
  }
}
class Point3 extends Point {
  name = 'p3'
  self = this as object
}
class Tagged extends Map<string, number> {
  tag = 't'
  override set(key: string, value: number): this {
    if (value === 99) throw new Error('an override ran')
    return super.set(key, value)
  }
}
class Bag extends Set<unknown> {}
class Row extends Array<unknown> {
  columns: string[] = []
}
class Day extends Date {
  zone = 'UTC'
}
class Pattern extends RegExp {}
class Matrix extends Float64Array {
  rows = 2
}
class ValidationError extends Error {
  override name = 'ValidationError'
  field: string
  constructor(field: string) {
    super(`${field} is wrong`)
    constructed++
    this.field = field
  }
}
class Several extends AggregateError {}
class Money {
  #cents: number
  constructor(cents: number) {
    this.#cents = cents
  }
  get cents() {
    return this.#cents
  }
  static [pack](money: Money) {
    return { cents: money.#cents }
  }
  static [unpack](plain: { cents: number }) {
    return new Money(plain.cents)
  }
}
class Strict {
  static [pack]() {
    return {}
  }
  static [unpack](): Strict {
    throw new RangeError('not here')
  }
}
function Old(this: { a: number }) {
  this.a = 1
}
Old.prototype.enumerable = 'inherited'

const KNOWN = [
  Point,
  Point3,
  Tagged,
  Bag,
  Row,
  Day,
  Pattern,
  Matrix,
  ValidationError,
  Several,
  Money,
  Strict,
  Old,
  Math.max,
]
const numbers = new Map<Function, number>(KNOWN.map((each, index) => [each as Function, index]))
const entities: Entities = { indexOf: (fn) => numbers.get(fn), at: (index) => KNOWN[index] as Function }

function there<T>(value: T): T {
  return decode(encode(value, { entities }), { entities }) as T
}

describe('instances of classes that both ends know', () => {
  const table: [string, object][] = [
    ['a class', new Point(3, 4)],
    ['a subclass with itself inside', new Point3(1, 2)],
    ['a function with a prototype', new (Old as unknown as new () => object)()],
    ['Map', new Tagged([['a', 1]])],
    ['Set', new Bag([1, new Point(0, 1)])],
    ['Array', Object.assign(Row.from([1, , 'x', new Point(1, 1)]), { columns: ['a'] })],
    ['a long Array of numbers', Row.from({ length: 100 }, (_, i) => i / 2)],
    ['Date', new Day(7)],
    ['RegExp', new Pattern('a+', 'gi')],
    ['Float64Array', Object.assign(new Matrix(4), { rows: 3 })],
    ['Error', Object.assign(new ValidationError('age'), { cause: new ValidationError('inner') })],
    ['AggregateError', new Several([new Point(5, 6)], 'm')],
  ]
  it.each(table)('%s', (_name, value) => {
    const before = constructed
    const back = there(value)
    expect(constructed).toBe(before)
    expect(difference(value, back)).toBe(undefined)
    expect(difference([value, { value }], there([value, { value }]))).toBe(undefined)
  })

  it('with what nobody sees', () => {
    const point = new Point(1, 2)
    Object.defineProperty(point, 'hidden', {
      value: [1],
      enumerable: false,
      writable: true,
      configurable: true,
    })
    Object.defineProperty(point, Symbol.for('brand'), {
      value: 'b',
      enumerable: false,
      writable: true,
      configurable: true,
    })
    Object.assign(point, { [Symbol.for('seen')]: 's', [Symbol('unique')]: 'dropped' })
    const back = there(point) as Point & Record<symbol | string, unknown>
    expect(back.hidden).toEqual([1])
    expect(Object.keys(back)).toEqual(['x', 'y'])
    expect([back[Symbol.for('brand')], back[Symbol.for('seen')]]).toEqual(['b', 's'])
    expect(Object.getOwnPropertySymbols(back).length).toBe(2)
  })

  it('without running setters or shadowed methods', () => {
    const point = Object.defineProperty(new Point(1, 2), 'z', {
      value: 5,
      enumerable: true,
      writable: true,
      configurable: true,
    })
    expect(Object.getOwnPropertyDescriptor(there(point), 'z')?.value).toBe(5)
    const tagged = new Tagged()
    Map.prototype.set.call(tagged, 'k', 99)
    expect(there(tagged).get('k')).toBe(99)
  })

  it('as functions and classes themselves', () => {
    const back = there({ Point, max: Math.max, list: [Point] })
    expect(back).toEqual({ Point, max: Math.max, list: [Point] })
  })

  it('through [pack] and [unpack], once for each instance', () => {
    const money = new Money(250)
    const back = there({ a: money, b: [money] })
    expect(back.a).toBeInstanceOf(Money)
    expect(back.a.cents).toBe(250)
    expect(back.b[0]).toBe(back.a)
  })

  it('with the error that [unpack] throws', () => {
    expect(() => there([new Strict()])).toThrow(new RangeError('not here'))
  })
})

describe('errors', () => {
  it('of an unknown class keep their name', () => {
    class HttpError extends TypeError {}
    const error = Object.assign(new HttpError('gone'), { code: 'E_GONE', status: 410 })
    const back = decode(encode(error)) as HttpError & { code: string; status: number }
    expect(back).toBeInstanceOf(TypeError)
    expect(back).not.toBeInstanceOf(HttpError)
    expect([back.name, back.message, back.code, back.status, back.stack]).toEqual([
      'HttpError',
      'gone',
      'E_GONE',
      410,
      error.stack,
    ])
    expect(Object.keys(back)).toEqual(['code', 'status'])
  })

  it('of this library are recognised', () => {
    const back = decode(encode(new TaskTimeoutError(5))) as TaskTimeoutError
    expect(back).toBeInstanceOf(TaskTimeoutError)
    expect(back).toBeInstanceOf(DicompError)
    expect([back.code, back.timeout, back.name]).toEqual(['DICOMP_E_TIMEOUT', 5, 'TaskTimeoutError'])
  })

  it('of the web keep name and code', () => {
    const error = new DOMException('stop', 'AbortError')
    const back = decode(encode({ error })) as { error: DOMException }
    expect(back.error).toBeInstanceOf(DOMException)
    expect([back.error.name, back.error.code, back.error.message]).toEqual(['AbortError', 20, 'stop'])
    const reason = decode(encode(AbortSignal.abort().reason)) as DOMException
    expect(reason.name).toBe('AbortError')
  })

  it('have no stack when they had none, and do not get one', () => {
    const error = new Error('x')
    Reflect.deleteProperty(error, 'stack')
    const back = decode(encode(error)) as Error
    expect(Object.hasOwn(back, 'stack') && back.stack !== undefined).toBe(false)
    expect(Error.stackTraceLimit).toBeGreaterThan(0)
  })
})
