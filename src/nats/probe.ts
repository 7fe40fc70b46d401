/**
 * A look at what listens at an address, before the NATS client connects there: its certificate (which must be the
 * pinned one) and its greeting. The client library would retry, or say "timeout", where this can say what is wrong.
 */
import { createHash } from 'node:crypto'
import { isIP, connect as netConnect, type Socket } from 'node:net'
import { type TLSSocket, connect as tlsConnect } from 'node:tls'
import { ConnectError } from '../errors.ts'

/** What a nats-server says first. */
export interface Greeting {
  version: string
  server_name?: string
  max_payload?: number
  jetstream?: boolean
  tls_required?: boolean
}

export interface Probe {
  greeting: Greeting
  /** The server's certificate, PEM; undefined without TLS. */
  certificate: string | undefined
  /** It greets inside of TLS. Otherwise TLS begins after its greeting. */
  handshakeFirst: boolean
}

export interface ProbeOptions {
  tls: boolean
  /** See Link. */
  pin?: string | undefined
  timeoutMs: number
}

/** A greeting is a few hundred bytes; in a cluster it lists the other servers. */
const LONGEST_GREETING = 64 * 1024

/** @throws ConnectError when nobody listens there, or not a nats-server, or not the one of the pin */
export async function probe(server: string, options: ProbeOptions): Promise<Probe> {
  const deadline = Date.now() + options.timeoutMs
  if (!options.tls) {
    const socket = await dial(server, deadline)
    return {
      greeting: await greeting(socket, server, deadline),
      certificate: undefined,
      handshakeFirst: false,
    }
  }
  let socket: TLSSocket
  try {
    socket = await handshake(server, options.pin, deadline)
  } catch (error) {
    if (!isNotTls(error)) throw error
    return greetingFirst(server, options.pin, deadline)
  }
  const certificate = checked(socket, server, options.pin)
  return { greeting: await greeting(socket, server, deadline), certificate, handshakeFirst: true }
}

async function greetingFirst(server: string, pin: string | undefined, deadline: number): Promise<Probe> {
  const plain = await dial(server, deadline)
  const hello = await greeting(plain, server, deadline, true)
  const socket = await handshake(server, pin, deadline, plain).catch((error) => {
    throw isNotTls(error) ? notTls(server, error) : error
  })
  const certificate = checked(socket, server, pin)
  socket.destroy()
  return { greeting: hello, certificate, handshakeFirst: false }
}

/** SHA-256 of a certificate's DER, base64url: what a link has as `pin`. */
export function pinOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url')
}

function dial(server: string, deadline: number): Promise<Socket> {
  const { host, port } = hostPort(server)
  return opened(netConnect(port, host), 'connect', server, deadline)
}

function handshake(
  server: string,
  pin: string | undefined,
  deadline: number,
  plain?: Socket,
): Promise<TLSSocket> {
  const { host, port } = hostPort(server)
  const socket = tlsConnect({
    ...(plain ? { socket: plain } : { host, port }),
    // The pin says more than any authority could.
    rejectUnauthorized: pin === undefined,
    ...(isIP(host) ? {} : { servername: host }),
  })
  return opened(socket, 'secureConnect', server, deadline)
}

function opened<S extends Socket>(socket: S, event: string, server: string, deadline: number): Promise<S> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(undefined), Math.max(0, deadline - Date.now()))
    const fail = (error: (Error & { code?: string }) | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error && isNotTls(error) ? error : unreachable(server, error))
    }
    // Stays: an error after this must not end the program.
    socket.on('error', fail)
    socket.once('close', () => fail(undefined))
    socket.once(event, () => {
      clearTimeout(timer)
      resolve(socket)
    })
  })
}

/** @param keep do not end the connection */
function greeting(socket: Socket, server: string, deadline: number, keep = false): Promise<Greeting> {
  return new Promise((resolve, reject) => {
    let text = ''
    const timer = setTimeout(() => end(mute(server, socket)), Math.max(0, deadline - Date.now()))
    const onClose = () => end(mute(server, socket))
    const onData = (data: Buffer) => {
      text += data.toString('latin1')
      const line = text.indexOf('\r\n')
      if (line < 0 && text.length < LONGEST_GREETING && 'INFO '.startsWith(text.slice(0, 5))) return
      end(parseGreeting(text.slice(0, line)) ?? stranger(server))
    }
    const end = (result: Greeting | ConnectError) => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose)
      if (!keep || result instanceof Error) socket.destroy()
      if (result instanceof Error) reject(result)
      else resolve(result)
    }
    socket.on('data', onData).on('close', onClose)
    if (socket.destroyed) onClose()
  })
}

function parseGreeting(line: string): Greeting | undefined {
  if (!line.startsWith('INFO {')) return undefined
  try {
    const info = JSON.parse(line.slice(5))
    return typeof info.version === 'string' ? info : undefined
  } catch {
    return undefined
  }
}

function checked(socket: TLSSocket, server: string, pin: string | undefined): string {
  const der: Uint8Array | undefined = socket.getPeerCertificate(false).raw
  if (pin !== undefined && (der === undefined || pinOf(der) !== pin)) {
    socket.destroy()
    throw new ConnectError(
      'DICOMP_E_PIN',
      `The server at ${server} shows another certificate than the one in the link: it is not the same cluster, or ` +
        'somebody is in between',
      'get a new link from who runs the cluster (`dicomp token new`)',
    )
  }
  const lines = Buffer.from(der ?? [])
    .toString('base64')
    .match(/.{1,64}/g)
  return `-----BEGIN CERTIFICATE-----\n${lines?.join('\n')}\n-----END CERTIFICATE-----\n`
}

export function hostPort(server: string): { host: string; port: number } {
  const colon = server.lastIndexOf(':')
  return { host: server.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(server.slice(colon + 1)) }
}

/** What OpenSSL says when the other end answers a handshake with a greeting. */
function isNotTls(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? ''
  return (
    code === 'EPROTO' ||
    /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE)/.test(code)
  )
}

const CHECK = 'start it with `dicomp up`, or check the address in the link, the network and the firewall'

function unreachable(server: string, error: (Error & { code?: string }) | undefined): ConnectError {
  const code = error?.code ?? ''
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'there is no computer of this name',
    EAI_AGAIN: 'the name cannot be looked up now',
    EHOSTUNREACH: 'there is no way to this computer',
    ENETUNREACH: 'there is no way to this network',
    ECONNRESET: 'it ends the connection at once',
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code)) {
    return new ConnectError(
      'DICOMP_E_CONNECT',
      `The certificate of the server at ${server} is not trusted here: ${error?.message}`,
      'use the link with `pin=` that `dicomp up` prints, or set NODE_EXTRA_CA_CERTS to its authority',
      error,
    )
  }
  const why = reasons[code] ?? (error === undefined ? 'no answer' : error.message)
  return new ConnectError('DICOMP_E_CONNECT', `No nats-server answers at ${server}: ${why}`, CHECK, error)
}

function mute(server: string, socket: Socket): ConnectError {
  const tls = 'encrypted' in socket
  return new ConnectError(
    'DICOMP_E_CONNECT',
    `What listens at ${server} takes the connection, but says nothing${tls ? '' : ': it may be a server that wants TLS'}`,
    tls ? CHECK : 'use the link with `pin=` that `dicomp up` prints (tls:// for other servers with TLS)',
  )
}

function stranger(server: string): ConnectError {
  return new ConnectError('DICOMP_E_CONNECT', `What listens at ${server} is no nats-server`, CHECK)
}

function notTls(server: string, cause: unknown): ConnectError {
  return new ConnectError(
    'DICOMP_E_CONNECT',
    `The server at ${server} does not use TLS, but the link wants it`,
    'use a nats:// link if the network in between may be trusted, or give the server a certificate',
    cause,
  )
}
