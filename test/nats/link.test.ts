import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LinkError } from '../../src/errors.ts'
import { describeLink, formatLink, type Link, parseLink, ROLES, readLink } from '../../src/nats/link.ts'

const seed = new TextDecoder().decode(nkeys.createUser().getSeed())
const pin = `${'A'.repeat(42)}0`

describe('what links say', () => {
  test('all of it', () => {
    const text = `dicomp://laptop:${seed}@db.example:4300,10.0.0.2,[::1]:5000/big?pin=${pin}&role=node&cluster=c1&expires=4102444800`
    expect(parseLink(text)).toEqual({
      servers: ['db.example:4300', '10.0.0.2:4222', '[::1]:5000'],
      pool: 'big',
      name: 'laptop',
      seed,
      tls: true,
      pin,
      role: 'node',
      cluster: 'c1',
      expires: 4102444800,
    })
  })

  test('a file may have it', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'dicomp-')), 'client.link')
    writeFileSync(file, 'nats://localhost/p\n')
    expect(readLink(`@${file}`)).toBe('nats://localhost/p')
    expect(readLink('nats://localhost')).toBe('nats://localhost')
    expect(() => readLink(`@${file}.gone`)).toThrow(/Cannot read the link: ENOENT/)
  })

  test('servers that run already', () => {
    expect(parseLink('nats://localhost')).toEqual({ servers: ['localhost:4222'], pool: 'main', tls: false })
    expect(parseLink('tls://a:1,b:2/p')).toEqual({ servers: ['a:1', 'b:2'], pool: 'p', tls: true })
    expect(parseLink('nats://t0ken%40@localhost')).toMatchObject({ token: 't0ken@' })
    expect(parseLink('nats://anna:p%3Aw@localhost')).toMatchObject({
      user: 'anna',
      password: 'p:w',
      name: 'anna',
    })
    expect(parseLink(' nats://localhost\n').servers).toEqual(['localhost:4222'])
  })

  test('written and read again, they are the same', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/)
    const access = fc.oneof(
      fc.record({ name, seed: fc.constant(seed) }),
      fc.tuple(name, fc.string()).map(([user, password]) => ({ name: user, user, password })),
      fc.string({ minLength: 1 }).map((token) => ({ token })),
      fc.constant({}),
    )
    const rest = fc.record(
      {
        pin: fc.constant(pin),
        role: fc.constantFrom(...ROLES),
        cluster: name,
        expires: fc.integer({ min: 2 ** 32, max: 2 ** 33 }),
      },
      { requiredKeys: [] },
    )
    const port = fc.integer({ min: 1, max: 65_535 })
    const servers = fc.array(
      fc.tuple(fc.constantFrom('10.0.0.1', 'a.example', '[fe80::1]'), port).map((pair) => pair.join(':')),
      { minLength: 1, maxLength: 3 },
    )
    const all = fc.tuple(servers, name, access, rest, fc.boolean())
    fc.assert(
      fc.property(all, ([servers, pool, access, rest, tls]) => {
        const link: Link = { servers, pool, ...access, ...rest, tls: tls || 'pin' in rest }
        expect(parseLink(formatLink(link))).toEqual(link)
      }),
    )
  })
})

describe('what is refused', () => {
  test.each([
    ['', 'not of the form'],
    ['localhost:4222', 'not of the form'],
    ['https://localhost', 'begins with something else'],
    ['dicomp://', 'not of the form'],
    ['dicomp://host/a.b', 'no name of a pool'],
    ['dicomp://host/a/b', 'no name of a pool'],
    ['dicomp://host:0', 'no host:port'],
    ['dicomp://host:70000', 'no host:port'],
    ['dicomp://host,', 'no host:port'],
    ['dicomp://laptop@host', 'no secret'],
    ['dicomp://lap.top:x@host', 'letters, digits'],
    ['dicomp://laptop:%zz@host', '%'],
    ['dicomp://host/main?pin=short', 'pin is damaged'],
    ['dicomp://host/main?role=admin', 'none of client, node, viewer'],
    ['dicomp://host/main?expires=soon', 'not a time'],
    ['dicomp://host/main?cluster=a.b', 'cluster is damaged'],
    ['dicomp://host/main?colour=red', 'unknown part "colour"'],
    [`dicomp://host/main?pin=${pin}&tls=0`, 'contradicts'],
  ])('%s', (text, why) => {
    expect(() => parseLink(text)).toThrow(LinkError)
    expect(() => parseLink(text)).toThrow(why)
  })

  test('one that has expired: says when, and what the clock says', () => {
    const text = 'dicomp://host/main?expires=1000000000'
    expect(() => parseLink(text)).toThrow(/expired at 2001-09-09T01:46:40.000Z \(it is 20\d\d-.* clock/)
    expect(parseLink(text, 999_999_999_000).expires).toBe(1_000_000_000)
  })

  test('whatever is cut off or typed wrong, no error has the secret', () => {
    const whole = `dicomp://laptop:${seed}@host:4222/main?pin=${pin}&role=client`
    for (let i = 0; i < whole.length; i++) {
      const [before, after] = [whole.slice(0, i), whole.slice(i)]
      const typed = [...' /?,@:#&=%'].map((character) => before + character + after)
      for (const text of [before, before + after.slice(1), ...typed]) {
        try {
          parseLink(text)
        } catch (error) {
          expect(error).toBeInstanceOf(LinkError)
          expect((error as Error).message).not.toContain(seed.slice(2, 14))
          expect((error as Error).message).not.toContain(seed.slice(-12))
        }
      }
    }
    expect(describeLink(parseLink(whole))).toBe('host:4222 (pool main)')
  })

  test('nothing that is typed ends in anything but a link or a LinkError', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((rest) => `dicomp://${rest}`),
      fc.webUrl().map((url) => url.replace(/^https?/, 'dicomp')),
    )
    fc.assert(
      fc.property(text, (text) => {
        try {
          parseLink(text)
        } catch (error) {
          expect(error).toBeInstanceOf(LinkError)
        }
      }),
      { numRuns: 300 },
    )
  })
})
