import { spawn } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Connection, openConnection } from '../../src/nats/connection.ts'
import { type Link, parseLink, type Role } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { createCertificate } from '../../src/server/certificate.ts'
import { freePort, type Nats, type NatsOptions, startNats } from '../helpers/nats-server.ts'

const open = async (link: Link | string, role: Role = 'client'): Promise<Connection> => {
  const connection = await openConnection(typeof link === 'string' ? parseLink(link) : link, {
    role,
    identity: newIdentity(),
    connectTimeoutMs: 1500,
  })
  onTestFinished(() => connection.close())
  return connection
}
const nats = async (options?: NatsOptions): Promise<Nats> => {
  const server = await startNats(options)
  onTestFinished(() => server.stop())
  return server
}
/** Something else that listens. */
const listener = async (greet: (socket: Socket) => void): Promise<string> => {
  const server: Server = createServer((socket) => greet(socket.on('error', () => {})))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}
const reconnected = (connection: Connection) =>
  new Promise<void>((resolve) => connection.onStatus((status) => status === 'reconnected' && resolve()))

test('tells what it found, and of every change', async () => {
  const server = await nats()
  const connection = await open(server.url)
  expect(connection.serverVersion).toMatch(/^2\.\d+\.\d+/)
  expect(connection.maxPayload).toBe(1 << 20)
  expect(connection.up).toBe(true)
  const seen: string[] = []
  connection.onStatus((status) => seen.push(status))
  await server.kill('SIGKILL')
  await expect.poll(() => connection.up).toBe(false)
  const back = connection.untilUp()
  await server.restart()
  await back
  expect(seen).toEqual(['disconnected', 'reconnected'])
  await connection.nc.flush()
  await connection.close()
  expect(await connection.closed).toBeUndefined()
})

test('requests that are under way when the connection is lost end at once', async () => {
  const server = await nats()
  const [connection, other] = [await open(server.url), await open(server.url)]
  other.nc.subscribe('never.answers')
  await other.nc.flush()
  const waiting = expect(connection.request('never.answers', '', { timeout: 60_000 })).rejects.toThrow('lost')
  await server.kill('SIGKILL')
  await waiting
  await server.restart()
})

describe('what is there instead of a server', () => {
  test('nothing', async () => {
    const port = await freePort()
    await expect(open(`nats://127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'DICOMP_E_CONNECT',
      message: expect.stringMatching(new RegExp(`127.0.0.1:${port}: nothing listens there`)),
    })
  })

  test('a name that is none', async () => {
    await expect(open('nats://no-such-host.invalid')).rejects.toThrow(/no computer of this name|looked up/)
  })

  test('something else', async () => {
    const address = await listener((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await expect(open(`nats://${address}`)).rejects.toThrow('is no nats-server')
  })

  test('something that sends garbage without end', async () => {
    const address = await listener((socket) => {
      const timer = setInterval(() => socket.write('x'.repeat(1000)), 1)
      socket.on('close', () => clearInterval(timer))
    })
    await expect(open(`nats://${address}`)).rejects.toThrow('is no nats-server')
  })

  test('something that says nothing', async () => {
    const address = await listener(() => {})
    await expect(open(`nats://${address}`)).rejects.toThrow(/says nothing.*TLS/)
  })

  test('something that hangs up', async () => {
    const address = await listener((socket) => socket.destroy())
    await expect(open(`nats://${address}`)).rejects.toMatchObject({ code: 'DICOMP_E_CONNECT' })
  })

  test.each(['2.9.10', '2.11.99', '1.4.1', 'unknown'])('nats-server %s', async (version) => {
    const info = { server_id: 'X', version, proto: 1, headers: true, max_payload: 1 << 20, jetstream: true }
    const address = await listener((socket) => socket.write(`INFO ${JSON.stringify(info)}\r\n`))
    await expect(open(`nats://${address}`)).rejects.toMatchObject({
      code: 'DICOMP_E_SERVER',
      message: expect.stringMatching(`nats-server ${version}; dicomp needs 2\\.\\d+\\.0 or newer`),
    })
  })

  test('a server without JetStream; who only looks on needs none', async () => {
    const server = await nats({ jetstream: false })
    await expect(open(server.url)).rejects.toMatchObject({
      code: 'DICOMP_E_SERVER',
      message: expect.stringContaining('has no JetStream'),
    })
    await open(server.url, 'viewer')
  })

  test('a server of another cluster', async () => {
    const server = await nats({ config: 'server_name: dicomp-other' })
    await expect(open(`${server.url}?cluster=mine`)).rejects.toMatchObject({
      code: 'DICOMP_E_LINK',
      message: expect.stringContaining('for the cluster mine, but'),
    })
    await open(`${server.url}?cluster=other`)
  })

  test('of several, the one that runs is taken; of none, each is named', async () => {
    const server = await nats()
    const dead = await freePort()
    const connection = await open(`nats://127.0.0.1:${dead},127.0.0.1:${server.port}/main`)
    expect(connection.nc.getServer()).toBe(`127.0.0.1:${server.port}`)
    await expect(open(`nats://127.0.0.1:${dead},127.0.0.2:${dead}`)).rejects.toThrow(
      new RegExp(`127.0.0.1:${dead}: .*\\n.*127.0.0.2:${dead}: `),
    )
  })
})

describe('credentials', () => {
  const pair = nkeys.createUser()
  const seed = new TextDecoder().decode(pair.getSeed())
  const users = (more = '') => `
    accounts { A { jetstream: enabled, users [
      { user: anna, password: "s3:cret/%" }
      ${more}
    ] } }`
  const withKey = users(`{ nkey: ${pair.getPublicKey()} }`)

  test('a password and a seed are taken', async () => {
    const server = await nats({ config: withKey })
    await open(`dicomp://anna:s3%3Acret%2F%25@127.0.0.1:${server.port}`)
    await open(`dicomp://laptop:${seed}@127.0.0.1:${server.port}/main`)
  })

  test('wrong or missing ones are refused, by an error without them', async () => {
    const server = await nats({ config: withKey })
    const stranger = new TextDecoder().decode(nkeys.createUser().getSeed())
    for (const access of [`anna:wrong@`, `mallory:${stranger}@`, '']) {
      const error: Error = await open(`dicomp://${access}127.0.0.1:${server.port}/main`).catch((e) => e)
      expect(error).toMatchObject({ code: 'DICOMP_E_ACCESS' })
      expect(error.message).not.toMatch(/wrong@|:wrong/)
      expect(error.message).not.toContain(stranger)
    }
  })

  test('revoked while it is used: the connection ends and says why', async () => {
    const server = await nats({ config: withKey })
    const connection = await open(`dicomp://laptop:${seed}@127.0.0.1:${server.port}/main`)
    await server.reload(users())
    expect(await connection.closed).toMatchObject({
      code: 'DICOMP_E_ACCESS',
      message: expect.stringContaining('"laptop"'),
    })
    expect(connection.up).toBe(false)
    await expect(connection.untilUp()).rejects.toMatchObject({ code: 'DICOMP_E_ACCESS' })
  })

  test('what is not allowed is an error that says so', async () => {
    const server = await nats({
      config: users(
        `{ nkey: ${pair.getPublicKey()}, permissions: { publish: ["$JS.API.INFO"], subscribe: [">"] } }`,
      ),
    })
    const connection = await open(`dicomp://laptop:${seed}@127.0.0.1:${server.port}/main`)
    const errors: Error[] = []
    connection.onError((error) => errors.push(error))
    await expect(connection.request('$JS.API.STREAM.NAMES', '', { timeout: 5000 })).rejects.toMatchObject({
      code: 'DICOMP_E_ACCESS',
      message: expect.stringContaining('$JS.API.STREAM.NAMES'),
    })
    expect(errors).toHaveLength(1)
  })
})

describe('TLS', () => {
  const { cert, key } = createCertificate(['127.0.0.1'])
  const pin = createHash('sha256').update(new X509Certificate(cert).raw).digest('base64url')
  const wrongPin = createHash('sha256').update('something else').digest('base64url')
  let server: Nats
  let greetsFirst: Nats

  beforeAll(async () => {
    const files = async (target: Nats, first: boolean) => {
      await writeFile(join(target.dir, 'cert.pem'), cert)
      await writeFile(join(target.dir, 'key.pem'), key)
      await target.kill('SIGTERM')
      return `tls { cert_file: "${target.dir}/cert.pem", key_file: "${target.dir}/key.pem", handshake_first: ${first} }`
    }
    server = await startNats()
    await server.restart(await files(server, true))
    greetsFirst = await startNats()
    await greetsFirst.restart(await files(greetsFirst, false))
  })
  afterAll(async () => {
    await server.stop()
    await greetsFirst.stop()
  })
  const link = (to: Nats, pin: string, host = '127.0.0.1') =>
    parseLink(`dicomp://${host}:${to.port}/main?pin=${pin}`)

  test('with the right pin, whichever comes first, by any name; again after a restart', async () => {
    for (const to of [server, greetsFirst]) {
      for (const host of ['127.0.0.1', 'localhost']) {
        const connection = await open(link(to, pin, host))
        const again = reconnected(connection)
        await to.kill('SIGKILL')
        await to.restart()
        await again
        await connection.nc.flush()
      }
    }
  })

  test('with another pin nothing is said to the server', async () => {
    for (const to of [server, greetsFirst])
      await expect(open(link(to, wrongPin))).rejects.toMatchObject({ code: 'DICOMP_E_PIN' })
  })

  test('a server that gets another certificate is not talked to any more', async () => {
    const to = await nats()
    const files = (c: { cert: string; key: string }) =>
      Promise.all([writeFile(join(to.dir, 'cert.pem'), c.cert), writeFile(join(to.dir, 'key.pem'), c.key)])
    const tls = `tls { cert_file: "${to.dir}/cert.pem", key_file: "${to.dir}/key.pem", handshake_first: true }`
    await files({ cert, key })
    await to.kill('SIGTERM')
    await to.restart(tls)
    const connection = await open(link(to, pin))
    await to.kill('SIGKILL')
    await files(createCertificate(['127.0.0.1']))
    await to.restart()
    await expect.poll(() => to.log().match(/TLS handshake error/g)?.length).toBeGreaterThan(1)
    expect(connection.up).toBe(false)
    await to.kill('SIGKILL')
    await files({ cert, key })
    await to.restart()
    await connection.untilUp()
  })

  test('without a pin a certificate that nobody signed is refused', async () => {
    await expect(open(`tls://127.0.0.1:${server.port}`)).rejects.toMatchObject({
      code: 'DICOMP_E_CONNECT',
      message: expect.stringMatching(/not trusted here.*\n.*pin=/),
    })
  })

  test('a link without TLS to a server with it, and the reverse', async () => {
    await expect(open(`nats://127.0.0.1:${server.port}`)).rejects.toThrow(/says nothing.*TLS/)
    const plain = await nats()
    await expect(open(link(plain, pin))).rejects.toThrow('does not use TLS, but the link wants it')
  })
})

test('unref(): the connection alone does not keep a program running; ref() does', async () => {
  const server = await nats()
  const program = (then: string) => `
    import { openConnection } from './src/nats/connection.ts'
    import { parseLink } from './src/nats/link.ts'
    const connection = await openConnection(parseLink('${server.url}'), { role: 'client', identity: 'a.b' })
    await connection.nc.flush()
    ${then}`
  const run = (then: string) =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program(then)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  const [code] = await once(run('connection.unref()'), 'exit')
  expect(code).toBe(0)
  const held = run('connection.unref(); connection.ref(); setTimeout(() => console.log("x"), 100).unref()')
  // Only a program that something else keeps running gets to print.
  const [text] = await once(held.stdout, 'data')
  expect(String(text)).toBe('x\n')
  held.kill('SIGKILL')
})
