/** The same code on other runtimes, whose sockets and TLS are not those of Node.js. */
import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { nkeys } from '@nats-io/transport-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createCertificate } from '../../src/server/certificate.ts'
import { type Nats, startNats } from '../helpers/nats-server.ts'
import { type RuntimeName, runtime } from '../helpers/runtimes.ts'

const PROGRAM = fileURLToPath(new URL('program.ts', import.meta.url))
const ARGUMENTS: [RuntimeName, string[]][] = [
  // Its loader hook delays imports, also of what is loaded.
  ['node20', ['--import', 'tsx']],
  ['node24', []],
  ['bun', ['run']],
  ['deno', ['run', '-A']],
]
const pair = nkeys.createUser()
const seed = new TextDecoder().decode(pair.getSeed())
const { cert, key } = createCertificate(['127.0.0.1'])
const pinOf = (of: string) => createHash('sha256').update(new X509Certificate(of).raw).digest('base64url')

let nats: Nats
beforeAll(async () => {
  nats = await startNats()
  await writeFile(join(nats.dir, 'cert.pem'), cert)
  await writeFile(join(nats.dir, 'key.pem'), key)
  await nats.kill('SIGTERM')
  await nats.restart(`
    tls { cert_file: "${nats.dir}/cert.pem", key_file: "${nats.dir}/key.pem", handshake_first: true }
    accounts { A { jetstream: enabled, users [ { nkey: ${pair.getPublicKey()} } ] } }`)
})
afterAll(() => nats.stop())

test.for(ARGUMENTS)(
  '%s: TLS with a pin, a key, the object store, and an end',
  async ([name, args], context) => {
    const binary = await runtime(name)
    if (binary === undefined) return context.skip(`${name} is not published for this system`)
    const run = (pin: string) =>
      promisify(execFile)(binary, [...args, PROGRAM], {
        env: { ...process.env, LINK: `dicomp://laptop:${seed}@127.0.0.1:${nats.port}/main?pin=${pin}` },
        timeout: 20_000,
      })
    expect((await run(pinOf(cert))).stdout).toBe('20000000\n')
    const other = createCertificate(['127.0.0.1'])
    await expect(run(pinOf(other.cert))).rejects.toThrow('shows another certificate')
  },
)
