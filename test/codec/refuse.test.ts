import { createHmac, generateKeyPairSync } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { createServer, Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import vm from 'node:vm'
import { MessageChannel } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { encode, pack, unpack } from '../../src/codec/index.ts'
import { DicompError, EncodeError } from '../../src/errors.ts'

class Account {
  owner = 'x'
}
class Odd extends Promise<number> {}
const anonymous = class {}
async function* counting() {
  yield 1
}
const detached = new ArrayBuffer(8)
structuredClone(detached, { transfer: [detached] })
const channel = new MessageChannel()
channel.port1.close()
const timer = setTimeout(() => {}, 0)
clearTimeout(timer)

function refused(value: unknown, options = {}): EncodeError {
  try {
    encode(value, { path: 'args', ...options })
  } catch (error) {
    if (error instanceof EncodeError) return error
    throw error
  }
  throw new Error('It was not refused')
}

/** value → what the message says of it, and the fix. */
const TABLE: [string, unknown, RegExp, RegExp][] = [
  ['a function', function add() {}, /function add\b/, /inside the distributed function/],
  ['an anonymous arrow', [() => 1][0], /function \(anonymous\)/, /inside the distributed function/],
  ['a builtin function', Math.max, /function max/, /inside/],
  ['a class', Account, /class Account, which the other end does not know/, /use the class inside/],
  ['an instance', new Account(), /instance of class Account/, /Account inside the distributed function/],
  ['an instance of an anonymous class', new anonymous(), /instance of class anonymous/, /plain data/],
  ['a promise', Promise.resolve(1), /a Promise/, /await it first/],
  ['a subclass of Promise', Odd.resolve(1), /an Odd \(a kind of Promise\)/, /await it first/],
  ['a proxy', new Proxy({ a: 1 }, {}), /a Proxy/, /plain copy/],
  ['a proxy of an array', new Proxy([1], {}), /a Proxy/, /plain copy/],
  ['a proxy of a function', new Proxy(() => 1, {}), /a Proxy/, /plain copy/],
  ['a WeakMap', new WeakMap(), /a WeakMap/, /Map/],
  ['a WeakSet', new WeakSet(), /a WeakSet/, /Set/],
  ['a WeakRef', new WeakRef({}), /a WeakRef/, /deref/],
  [
    'a FinalizationRegistry',
    new FinalizationRegistry(() => {}),
    /FinalizationRegistry/,
    /inside the function/,
  ],
  ['a generator', counting(), /running AsyncGenerator/, /\[\.\.\.value\]/],
  ['an array iterator', [1].values(), /running Array Iterator/, /\[\.\.\.value\]/],
  ['a map iterator', new Map().entries(), /running Map Iterator/, /\[\.\.\.value\]/],
  ['a unique symbol', Symbol('mine'), /Symbol\(mine\) is unique/, /Symbol\.for\("mine"\)/],
  ['a boxed unique symbol', Object(Symbol('mine')), /Symbol\(mine\) is unique/, /Symbol\.for/],
  ['a SharedArrayBuffer', new SharedArrayBuffer(8), /a SharedArrayBuffer/, /thread/],
  ['a detached buffer', detached, /detached/, /copy/],
  ['a socket', new Socket(), /a Socket, tied to this process/, /inside the function/],
  ['a server', createServer(), /a Server, tied to this process/, /inside the function/],
  ['a stream', new PassThrough(), /a PassThrough .*tied to this process/, /inside the function/],
  ['another stream', Readable.from([1]), /a Readable, tied/, /inside the function/],
  ['a web stream', new ReadableStream(), /a ReadableStream, tied/, /inside the function/],
  ['an emitter', new EventEmitter(), /an EventEmitter, tied/, /inside the function/],
  ['a timer', timer, /a Timeout, tied/, /inside the function/],
  ['an AbortController', new AbortController(), /an AbortController/, /`signal` option/],
  ['an AbortSignal', AbortSignal.abort(), /an AbortSignal/, /task\.signal/],
  ['a message port', channel.port1, /a MessagePort/, /task\.progress/],
  ['a key', generateKeyPairSync('ed25519').publicKey, /KeyObject/, /export/],
  ['a hash', createHmac('sha256', 'k'), /a Hmac.*, tied/, /inside the function/],
  ['a blob', new Blob(['x']), /a Blob/, /arrayBuffer/],
  ['a response', new Response('x'), /a Response/, /read it first/],
  [
    'an object with another one as prototype',
    Object.create({ a: 1 }),
    /prototype is another object/,
    /\{ \.\.\.value \}/,
  ],
  ['a namespace of the language', Math, /the global Math/, /use Math inside/],
  ['the global object', globalThis, /./, /./],
  ['a fake Map', Object.create(Map.prototype), /instance of class Map/, /./],
]

describe('what cannot travel is refused', () => {
  it.each(TABLE)('%s', (_name, value, what, fix) => {
    const error = refused({ list: [1, { conn: value }] })
    expect(error.path).toBe('args.list[1].conn')
    expect(error.message.split('\n')[0]).toMatch(what)
    expect(error.fix).toMatch(fix)
    expect(error.code).toBe('DICOMP_E_ENCODE')
    expect(error).toBeInstanceOf(DicompError)
  })

  it.each(TABLE)('%s, as the root', (_name, value) => {
    expect(refused(value).path).toBe('args')
  })

  it('a private member, named', () => {
    class Acc {
      #sum = 1
      note = "a '#not' // this.#one"
      get sum() {
        return this.#sum
      }
    }
    class Sub extends Acc {}
    class Innocent {
      colour = '#fff'
      // this.#nothing
      text = `#template`
    }
    const entities = { indexOf: () => 0, at: () => undefined }
    expect(refused(new Acc(), { entities }).message).toMatch(/class Acc has private members \(#sum\)/)
    expect(refused([new Sub()], { entities }).message).toMatch(/args\[0\]: its class Acc has private/)
    expect(() => encode(new Innocent(), { entities })).not.toThrow()
  })

  it('an instance of a known class on a builtin with hidden state', () => {
    class Bus extends EventTarget {}
    class Place extends URL {}
    const entities = { indexOf: () => 0, at: () => undefined }
    expect(refused([new Bus()], { entities }).message).toMatch(/a Bus \(a kind of EventTarget\)/)
    expect(() => encode(new Place('http://a.b'), { entities })).not.toThrow()
  })

  it("a user's class by its own name, whatever Node calls its own", () => {
    class Agent {}
    class Response {}
    for (const value of [new Agent(), new Response()]) {
      expect(refused(value).message).toMatch(
        /an instance of class (Agent|Response), which the other end does not know/,
      )
    }
  })

  it('an accessor on an instance, without running it', () => {
    let ran = false
    class Model {}
    const model = Object.defineProperty(new Model(), 'lazy', {
      enumerable: true,
      get() {
        ran = true
        return 1
      },
    })
    const error = refused({ model }, { entities: { indexOf: () => 0, at: () => undefined } })
    expect(error.path).toBe('args.model.lazy')
    expect(ran).toBe(false)
  })

  it('a class whose [pack] cannot work', () => {
    class Half {
      static [pack]() {
        return {}
      }
    }
    class Self {
      static [pack](value: Self) {
        return { value }
      }
      static [unpack]() {
        return new Self()
      }
    }
    class Bad {
      static [pack]() {
        return { deep: [() => 1] }
      }
      static [unpack]() {
        return new Bad()
      }
    }
    class Chain {
      next: Chain | undefined
      static [pack](value: Chain) {
        return value.next
      }
      static [unpack](next: Chain) {
        return Object.assign(new Chain(), { next })
      }
    }
    const known = new Map<Function, number>([Half, Self, Bad, Chain].map((each, index) => [each, index]))
    const entities = { indexOf: (fn: Function) => known.get(fn), at: () => undefined }
    expect(refused([new Half()], { entities }).message).toMatch(/no static \[unpack\]/)
    expect(refused([new Self()], { entities }).message).toMatch(
      /args\[0\]\[pack\]\(\)\.value: .*contains the instance itself/,
    )
    expect(refused([new Bad()], { entities }).path).toBe('args[0][pack]().deep[0]')
    let chain = new Chain()
    for (let i = 0; i < 1e5; i++) chain = Object.assign(new Chain(), { next: chain })
    expect(refused({ chain }, { entities }).message).toMatch(
      /levels deep inside what a static \[pack\] returned/,
    )
  })

  it('a view of what cannot travel', () => {
    expect(refused([new Uint8Array(new SharedArrayBuffer(8))]).path).toBe('args[0].buffer')
  })

  it('but SharedArrayBuffers travel between threads', () => {
    const memory = new SharedArrayBuffer(8)
    const { attachments } = encode({ memory, view: new Int32Array(memory) }, { shared: true })
    expect(attachments).toEqual([memory])
  })
})

describe('the path', () => {
  const bad = () => 1
  const cases: [string, unknown, string][] = [
    ['of a member', { a: { b_1: bad } }, 'args.a.b_1'],
    ['of an odd member', { 'a b': [{ '': bad }] }, 'args["a b"][0][""]'],
    ['of a symbol member', { [Symbol.for('k')]: bad }, 'args[Symbol.for("k")]'],
    ['of a value in a Map', new Map([['k', [bad]]]), 'args.get("k")[0]'],
    ['of a value in a Map by number', new Map([[-0.5, bad]]), 'args.get(-0.5)'],
    [
      'of a value in a Map by object',
      new Map<unknown, unknown>([
        [1, 1],
        [{}, bad],
      ]),
      'args.get(<key 1>)',
    ],
    ['of a key in a Map', new Map([[{ x: bad }, 1]]), 'args<key 0>.x'],
    ['of an item in a Set', new Set([1, 2, { x: bad }]), 'args<item 2>.x'],
    ['of a cause', new Error('a', { cause: new Error('b', { cause: bad }) }), 'args.cause.cause'],
    [
      'of one of several errors',
      new AggregateError([1, new Error('x', { cause: bad })]),
      'args.errors[1].cause',
    ],
    [
      'of a property of an error',
      Object.assign(new Error('x'), { request: { socket: bad } }),
      'args.request.socket',
    ],
    ['beside the elements of an array', Object.assign([1], { extra: bad }), 'args.extra'],
    ['in a sparse array', Object.assign(new Array(1e6), { 77777: bad }), 'args[77777]'],
    ['of the first of several places', { z: { y: bad }, a: bad }, 'args.z.y'],
    [
      'of the first place of a shared one',
      (() => {
        const x = { bad }
        return [[x], x]
      })(),
      'args[0][0].bad',
    ],
  ]
  it.each(cases)('%s', (_name, value, path) => {
    expect(refused(value).path).toBe(path)
  })

  it('of a getter that throws', () => {
    const error = refused({
      list: [
        {
          get broken() {
            throw new TypeError('not now')
          },
        },
      ],
    })
    expect(error.path).toBe('args.list[0].broken')
    expect(error.message).toMatch(/TypeError: not now/)
  })

  it('deep inside, and through cycles', () => {
    const root: Record<string, unknown> = {}
    let at = root
    for (let i = 0; i < 300; i++) {
      const next: Record<string, unknown> = { root, up: at }
      at.n = next
      at = next
    }
    at.bad = bad
    expect(refused(root).path).toBe(`args${'.n'.repeat(300)}.bad`)
  })

  it('is found in values of another realm, which travel as their own', () => {
    const foreign = vm.runInNewContext(
      '({ list: [1], map: new Map([["k", { f() {} }]]), when: new Date(5) })',
    )
    expect(refused(foreign).path).toBe('args.map.get("k").f')
  })
})
