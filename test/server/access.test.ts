/** Who gets in. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openConnection } from '../../src/nats/connection.ts'
import { formatLink, type Link, parseLink, type Role } from '../../src/nats/link.ts'
import { newIdentity } from '../../src/nats/subjects.ts'
import { createCertificate, pinOfPem } from '../../src/server/certificate.ts'
import { createToken, endToken, openCluster } from '../../src/server/cluster.ts'
import { watchExpiry } from '../../src/server/expiry.ts'
import { filesOf, readState, writePrivately } from '../../src/server/state.ts'
import { newKeyPair } from '../../src/server/tokens.ts'
import { open, Raw, speak, startCluster, wanted } from './cluster.ts'

const cluster = await startCluster()
const enter = (link: Link, role: Role = 'client') =>
  openConnection(link, { role, identity: newIdentity(link.name) })
const refusal = (link: Link) =>
  enter(link).then(
    () => 'let in',
    (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
  )

test('without credentials, with a wrong key or a password: refused', async () => {
  const link = await cluster.link('access', 'client')
  const { seed: _, ...bare } = link
  expect(await refusal(bare)).toMatch(/^DICOMP_E_ACCESS: .*refuses the credentials/)
  expect(await refusal({ ...link, seed: newKeyPair().seed })).toMatch(/^DICOMP_E_ACCESS: /)
  expect(await refusal({ ...bare, user: 'access', password: 'secret' })).toMatch(/^DICOMP_E_ACCESS: /)
  await expect(Raw.connect(link, { credentials: false })).rejects.toThrow(/authorization/i)
  await expect(Raw.connect(link)).resolves.toBeInstanceOf(Raw)
})

test('the public key alone, with a signature of something else or none: refused', async () => {
  const link = await cluster.link('signature', 'client')
  const key = readState(cluster.dir)?.tokens.find(({ name }) => name === 'signature')?.key
  const hello = (more: object) =>
    `CONNECT ${JSON.stringify({ verbose: false, pedantic: false, tls_required: true, ...more })}`
  for (const more of [
    {},
    { nkey: key },
    { nkey: key, sig: 'A'.repeat(86) },
    { user: key },
    { auth_token: key },
  ]) {
    expect(await speak(link, [hello(more), 'PING'])).toMatch(/-ERR 'Authorization Violation'\r\n$/)
  }
  // Nothing is done for who has not said who they are.
  expect(await speak(link, ['SUB > 1', 'PUB dicomp.roll.main 0', ''])).not.toContain('MSG')
})

test('without TLS nothing is said, and nothing taken', async () => {
  const link = await cluster.link('plain', 'client')
  const { pin: _, ...bare } = link
  expect(await refusal({ ...bare, tls: false })).toMatch(/^DICOMP_E_CONNECT: .*says nothing.*TLS/)
})

test('another pin than that of its certificate: no credentials are sent', async () => {
  const link = await cluster.link('pin', 'client')
  expect(await refusal({ ...link, pin: pinOfPem(createCertificate([]).cert) })).toMatch(/^DICOMP_E_PIN: /)
})

test('a link of another cluster', async () => {
  const link = await cluster.link('other', 'client')
  expect(await refusal({ ...link, cluster: 'abc123' })).toMatch(
    /^DICOMP_E_LINK: The link is for the cluster abc123, but .* is the cluster [0-9a-f]{12}/,
  )
})

test('a revoked token: its connections are cut when the command ends, and it does not come back', async () => {
  const link = await cluster.link('fired', 'client')
  const [one, two] = [await Raw.connect(link), await Raw.connect(link, { id: 'y' })]
  const stays = await open(await cluster.link('stays', 'client'))
  let stayed = true
  stays.onStatus(() => {
    stayed = false
  })
  const { live } = await endToken(cluster.dir, 'fired')
  expect(live).toBe(true)
  await Promise.all([one.nc.closed(), two.nc.closed()])
  expect(await refusal(link)).toMatch(/^DICOMP_E_ACCESS: .*revoked/)
  // Others do not notice.
  await stays.nc.flush()
  expect(stayed).toBe(true)
  await expect(endToken(cluster.dir, 'fired')).rejects.toThrow('The token "fired" is revoked already')
  // The name can be used again; the old link stays what it is.
  const again = await cluster.link('fired', 'client')
  await expect(Raw.connect(again)).resolves.toBeInstanceOf(Raw)
  expect(await refusal(link)).toMatch(/^DICOMP_E_ACCESS: /)
})

test('an expired token: its link says so, and the server cuts off who is in', async () => {
  const end = Date.now() + 1500
  const link = await cluster.link('guest', 'client', end)
  const errors: Error[] = []
  const stop = watchExpiry(cluster.dir, (error) => errors.push(error))
  const raw = await Raw.connect(link)
  await raw.nc.closed()
  expect(Date.now()).toBeGreaterThanOrEqual(end)
  stop()
  expect(errors).toEqual([])
  // A client with a wrong clock gets no further.
  expect(await refusal({ ...link, expires: 4_000_000_000 })).toMatch(/^DICOMP_E_ACCESS: /)
  expect(() => parseLink(formatLink(link))).toThrow(/expired at /)
})

test('tokens are made before the first start, too, and then count', async () => {
  const other = await startCluster()
  await other.server.stop()
  const { link, live } = await createToken(other.dir, { name: 'early', role: 'viewer' })
  expect(live).toBe(false)
  expect(parseLink(link)).toMatchObject({ name: 'early', role: 'viewer', cluster: other.state.cluster })
})

test('bad requests for tokens', async () => {
  const make = (name: string) => createToken(cluster.dir, { name, role: 'client' })
  await make('twice')
  await expect(make('twice')).rejects.toMatchObject({ code: 'DICOMP_E_TOKEN' })
  // Wildcards and dots would grant what is others'.
  for (const bad of ['', '*', '>', 'a.b', 'a b', 'ü', 'x'.repeat(65)]) {
    await expect(make(bad)).rejects.toMatchObject({ code: 'DICOMP_E_OPTION' })
  }
  for (const own of ['up', 'up-driver']) {
    await expect(make(own)).rejects.toThrow(/is the name of a token of the cluster itself/)
  }
  await expect(endToken(cluster.dir, 'up')).rejects.toThrow(
    /There is no token "up"\n.*name one of: node, client/,
  )
  await expect(createToken('/nowhere', { name: 'a', role: 'client' })).rejects.toMatchObject({
    code: 'DICOMP_E_UP',
  })
})

test('many commands at once: none is lost, and the server knows all', async () => {
  const links = await Promise.all(
    Array.from({ length: 12 }, (_, i) => createToken(cluster.dir, { name: `many-${i}`, role: 'client' })),
  )
  await Promise.all(links.map(async ({ link }) => (await enter(parseLink(link))).close()))
})

test('who comes in while the server reads its tokens again is let in', async () => {
  const link = await cluster.link('coming', 'viewer')
  let changing = true
  const come = async (): Promise<number> => {
    let times = 0
    for (; changing; times++) await (await enter(link, 'viewer')).close()
    return times
  }
  const coming = Promise.all([come(), come(), come(), come()])
  for (let i = 0; i < 5; i++) {
    await cluster.link(`change-${i}`, 'client')
    await sleep(300)
  }
  changing = false
  for (const times of await coming) expect(times).toBeGreaterThan(0)
})

test('a damaged or unreadable state says so, and is not overwritten', async () => {
  const { dir } = await startCluster()
  const file = filesOf(dir).state
  for (const [content, message] of [
    ['{"version":1', /is damaged: it is not JSON/],
    ['{"version":1}', /is damaged: parts are missing/],
    ['[]', /is damaged: parts are missing/],
    ['null', /is damaged: parts are missing/],
  ] as const) {
    writePrivately(file, content)
    expect(() => readState(dir)).toThrow(message)
    await expect(openCluster(dir, await wanted())).rejects.toThrow(message)
    await expect(createToken(dir, { name: 'a', role: 'client' })).rejects.toThrow(message)
  }
})
