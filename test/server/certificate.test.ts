import { createHash, X509Certificate } from 'node:crypto'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { createCertificate, pinOfPem, SERVER_NAME } from '../../src/server/certificate.ts'
import { integer, oid, time } from '../../src/server/der.ts'

const DAY = 24 * 3_600_000

test('a certificate that OpenSSL reads: for the addresses given, valid for clocks a month behind, no authority', () => {
  const now = Date.UTC(2026, 0, 31)
  const { cert } = createCertificate(['10.0.0.5', 'fe80::1%eth0', '::ffff:1.2.3.4', 'host.example'], now)
  const x509 = new X509Certificate(cert)
  for (const address of ['127.0.0.1', '::1', '10.0.0.5', 'fe80::1', '::ffff:102:304']) {
    expect(x509.checkIP(address), address).toBeDefined()
  }
  for (const host of [SERVER_NAME, 'localhost', 'host.example']) {
    expect(x509.checkHost(host), host).toBe(host)
  }
  expect(x509.checkIP('10.0.0.6')).toBeUndefined()
  expect(x509.checkHost('other.example')).toBeUndefined()
  expect(x509.ca).toBe(false)
  expect(x509.verify(x509.publicKey)).toBe(true)
  expect(Date.parse(x509.validFrom)).toBeLessThanOrEqual(now - 29 * DAY)
  expect(Date.parse(x509.validTo)).toBeGreaterThan(now + 15 * 365 * DAY)
  expect(pinOfPem(cert)).toBe(createHash('sha256').update(x509.raw).digest('base64url'))
})

test('two certificates have two keys, serial numbers and pins', () => {
  const [one, two] = [createCertificate([]), createCertificate([])]
  expect(pinOfPem(one.cert)).not.toBe(pinOfPem(two.cert))
  expect(one.key).not.toBe(two.key)
  expect(new X509Certificate(one.cert).serialNumber).not.toBe(new X509Certificate(two.cert).serialNumber)
})

test('a TLS client that trusts it talks to its server, one that trusts another certificate does not', async () => {
  const { cert, key } = createCertificate([])
  const server = createServer({ cert, key, minVersion: 'TLSv1.3' }, (socket) => socket.end('hello'))
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const greet = (ca: string) =>
    new Promise<string>((resolve, reject) => {
      const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, servername: SERVER_NAME })
      socket.on('error', reject)
      socket.on('data', (data) => resolve(data.toString()))
    })
  await expect(greet(cert)).resolves.toBe('hello')
  await expect(greet(createCertificate([]).cert)).rejects.toThrow(/self-signed|verify|certificate/i)
  server.close()
})

test('DER by its rules', () => {
  expect(oid('1.2.840.10045.4.3.2').toString('hex')).toBe('06082a8648ce3d040302')
  expect(integer(Buffer.from([0x80])).toString('hex')).toBe('02020080') // not negative
  expect(integer(Buffer.from([0, 0, 1])).toString('hex')).toBe('020101') // as short as can be
  expect(
    time(new Date(Date.UTC(2049, 11, 31, 23, 59, 59)))
      .toString('latin1')
      .slice(2),
  ).toBe('491231235959Z')
  expect(
    time(new Date(Date.UTC(2050, 0, 1)))
      .toString('latin1')
      .slice(2),
  ).toBe('20500101000000Z')
})
