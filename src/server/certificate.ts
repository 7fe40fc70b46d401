/**
 * The server's certificate: signed by itself, since links carry its fingerprint (the pin), which says more than any
 * authority could. Written here rather than by a package: Node.js makes keys and signatures but no certificates, the
 * packages that do bring megabytes, and it is one page of DER.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { pinOf } from '../nats/probe.ts'
import { bits, boolean, integer, octets, oid, sequence, set, tagged, time, utf8 } from './der.ts'

export interface Certificate {
  /** PEM. */
  cert: string
  /** PEM (PKCS 8). */
  key: string
}

/** Every certificate of ours has this name too, so that a client that checks names can ask for it by any address. */
export const SERVER_NAME = 'dicomp'

const DAY_MS = 24 * 3_600_000
/** Clocks are wrong now and then: a certificate is valid for whoever is up to a month behind. */
const BACKDATED_MS = 30 * DAY_MS
/** Links hold the pin, so they live as long as the certificate. */
const VALID_MS = 20 * 365 * DAY_MS

const ECDSA_SHA256 = '1.2.840.10045.4.3.2'
const COMMON_NAME = '2.5.4.3'
const KEY_USAGE = '2.5.29.15'
const ALTERNATIVE_NAMES = '2.5.29.17'
const BASIC_CONSTRAINTS = '2.5.29.19'
const EXTENDED_KEY_USAGE = '2.5.29.37'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

/**
 * A new key (ECDSA P-256: the one kind that every TLS library takes) and a certificate for it.
 * @param hosts names and addresses of the server, beside `SERVER_NAME` and those of loopback
 */
export function createCertificate(hosts: string[], now = Date.now()): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid(ECDSA_SHA256))
  const name = sequence(set(sequence(oid(COMMON_NAME), utf8(SERVER_NAME))))
  const names = [...new Set([SERVER_NAME, 'localhost', '127.0.0.1', '::1', ...hosts])]
  const body = sequence(
    tagged(0, integer(Buffer.from([2])), true), // version 3
    integer(randomBytes(16)),
    algorithm,
    name,
    sequence(time(new Date(now - BACKDATED_MS)), time(new Date(now + VALID_MS))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(
      3,
      sequence(
        // Not an authority: some libraries refuse one that is also the server.
        extension(BASIC_CONSTRAINTS, sequence(), true),
        extension(KEY_USAGE, bits(Buffer.from([0x80]), 7), true), // digitalSignature
        extension(EXTENDED_KEY_USAGE, sequence(oid(SERVER_AUTH))),
        extension(ALTERNATIVE_NAMES, sequence(...names.map(alternativeName))),
      ),
      true,
    ),
  )
  const der = sequence(body, algorithm, bits(sign('sha256', body, privateKey)))
  return {
    cert: pem(der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  }
}

/** What links carry as `pin`. */
export function pinOfPem(cert: string): string {
  return pinOf(Buffer.from(cert.replace(/-----[^-]+-----/g, ''), 'base64'))
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value))
}

function alternativeName(host: string): Buffer {
  return isIP(host) ? tagged(7, addressBytes(host), false) : tagged(2, Buffer.from(host), false)
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number))
  // The URL parser writes an IPv4 tail as two groups; what is left to fill is the `::`.
  const [head = '', tail] = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname
    .slice(1, -1)
    .split('::')
  const groups = (text: string) => (text ? text.split(':').map((group) => Number.parseInt(group, 16)) : [])
  const [before, after] = [groups(head), groups(tail ?? '')]
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}
