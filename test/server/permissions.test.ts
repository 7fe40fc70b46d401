/** Each role on the raw protocol: what it must not do is refused by the server, what it needs works. */
import { beforeAll, describe, expect, test } from 'vitest'
import { Blobs } from '../../src/nats/blobs.ts'
import { ensureNeed, layOut } from '../../src/nats/layout.ts'
import { bucketOf, consumerOf, streamOf, subjects } from '../../src/nats/subjects.ts'
import { open, Raw, startCluster, type TestCluster } from './cluster.ts'

let cluster: TestCluster
let ann: Raw
let bob: Raw
let gpu: Raw
let eve: Raw

beforeAll(async () => {
  cluster = await startCluster()
  ann = await Raw.connect(await cluster.link('ann', 'client'))
  bob = await Raw.connect(await cluster.link('bob', 'client'))
  gpu = await Raw.connect(await cluster.link('gpu', 'node'))
  eve = await Raw.connect(await cluster.link('eve', 'viewer'))
})

const QUEUE = streamOf('main')
const STORE = `OBJ_${bucketOf('main')}`
const task = (user: string, pool = 'main') => subjects.task(pool, 'p1', 'any', `${user}.x`)

/** Nobody but the administrator of the server. */
const NOBODY_PUBLISHES = [
  `$JS.API.STREAM.DELETE.${QUEUE}`,
  `$JS.API.STREAM.DELETE.${STORE}`,
  `$JS.API.STREAM.UPDATE.${QUEUE}`,
  `$JS.API.STREAM.PURGE.${QUEUE}`,
  `$JS.API.STREAM.MSG.GET.${QUEUE}`,
  `$JS.API.STREAM.MSG.DELETE.${QUEUE}`,
  `$JS.API.STREAM.SNAPSHOT.${STORE}`,
  `$JS.API.STREAM.RESTORE.mine`,
  `$JS.API.STREAM.CREATE.mine`,
  '$JS.API.STREAM.CREATE.T_other',
  '$JS.API.STREAM.LIST',
  '$JS.API.STREAM.NAMES',
  `$JS.API.DIRECT.GET.${QUEUE}`,
  `$JS.API.CONSUMER.DELETE.${QUEUE}.p1_any`,
  `$JS.API.CONSUMER.PAUSE.${QUEUE}.p1_any`,
  `$JS.API.CONSUMER.DURABLE.CREATE.${QUEUE}.mine`,
  `$JS.API.CONSUMER.MSG.NEXT.T_other.p1_any`,
  '$SYS.REQ.SERVER.PING',
  '$SYS.REQ.ACCOUNT.DICOMP.CONNZ',
  '_INBOX.stolen',
  '_INBOX_zoe.x.1',
  '_R_.stolen',
  'elsewhere',
]
const NOBODY_HEARS = [
  '>',
  '*',
  'dicomp.>',
  'dicomp.*.>',
  'dicomp.c.>',
  'dicomp.c.zoe.*',
  'dicomp.c.*.x',
  'dicomp.n.>',
  'dicomp.n.zoe.>',
  'dicomp.d.>',
  'dicomp.d.main.zoe.>',
  'dicomp.t.>',
  task('zoe'),
  '_INBOX.>',
  '_INBOX_zoe.>',
  '_INBOX_zoe.x.>',
  '*.x.>',
  '$JS.>',
  '$JS.ACK.>',
  '$JS.EVENT.>',
  '$SYS.>',
  `$O.${bucketOf('main')}.>`,
]

interface Rules {
  raw: () => Raw
  name: string
  cannotPublish: string[]
  cannotHear: string[]
  publishes: string[]
  hears: string[]
}

const ROLES: Record<string, Rules> = {
  client: {
    raw: () => ann,
    name: 'ann',
    cannotPublish: [
      task('bob'), // submit in another's name
      task('ann', 'other'), // in another pool
      'dicomp.t.main.p1.any.ann', // without an identity
      subjects.client('bob.x'), // pose as a node that has results
      subjects.client('ann.x'),
      subjects.heartbeat('main', 'ann.x'), // pose as a node
      subjects.heartbeat('main', 'gpu.x'),
      subjects.clients('main', 'bob.x'), // say good-bye for another
      subjects.node('gpu.x', 'bob.x'), // drop what is another's
      subjects.direct('main', 'gpu.x', 'bob.x'), // have a node run something in another's name
      subjects.direct('other', 'gpu.x', 'ann.x'), // or in another pool
      `$JS.API.CONSUMER.MSG.NEXT.${QUEUE}.p1_any`, // take tasks
      `$JS.API.CONSUMER.CREATE.${QUEUE}.mine`,
      `$JS.API.STREAM.CREATE.${QUEUE}`,
      `$JS.ACK.${QUEUE}.p1_any.1.1.1.1.0`, // say that a task is done
      `$JS.ACK.d.h.${QUEUE}.p1_any.1.1.1.1.0`,
      '_INBOX_bob.x.1', // answer in another's place
    ],
    cannotHear: [
      'dicomp.c.bob.*',
      'dicomp.n.gpu.>',
      'dicomp.d.main.gpu.>',
      'dicomp.a.main.>',
      '_INBOX_bob.>',
      'dicomp.hb.other.>',
    ],
    publishes: [
      task('ann'),
      subjects.node('gpu.x', 'ann.x'),
      subjects.direct('main', 'gpu.x', 'ann.x'),
      subjects.clients('main', 'ann.x'),
      subjects.roll('main'),
      `$JS.API.STREAM.INFO.${QUEUE}`,
    ],
    hears: ['dicomp.c.ann.x', 'dicomp.c.ann.*', 'dicomp.hb.main.>', '_INBOX_ann.x.>'],
  },
  node: {
    raw: () => gpu,
    name: 'gpu',
    cannotPublish: [
      task('gpu'), // submit
      task('ann'),
      subjects.heartbeat('main', 'other.x'), // pose as another node
      subjects.heartbeat('other', 'gpu.x'),
      subjects.clients('main', 'ann.x'), // pose as a client
      subjects.clients('main', 'gpu.x'),
      subjects.node('other.x', 'ann.x'), // tell other nodes what to do
      subjects.node('gpu.x', 'gpu.x'),
      subjects.direct('main', 'other.x', 'ann.x'), // have them run something
      subjects.direct('main', 'gpu.x', 'gpu.x'),
      `$JS.API.STREAM.PURGE.${STORE}`,
      `$JS.API.CONSUMER.CREATE.${STORE}.mine`,
      '_INBOX_ann.x.1',
    ],
    cannotHear: [
      'dicomp.c.ann.*',
      'dicomp.n.other.>',
      'dicomp.d.main.other.>',
      'dicomp.d.other.gpu.x.>',
      'dicomp.a.other.>',
      '_INBOX_ann.>',
    ],
    publishes: [
      subjects.client('ann.x'),
      subjects.heartbeat('main', 'gpu.x'),
      subjects.roll('main'),
      `$JS.API.STREAM.INFO.${QUEUE}`,
      `$JS.ACK.${QUEUE}.p1_any.1.1.1.1.0`,
      `$JS.ACK.d.h.${QUEUE}.p1_any.1.1.1.1.0`,
    ],
    hears: [
      'dicomp.n.gpu.x.>',
      'dicomp.d.main.gpu.x.>',
      'dicomp.a.main.>',
      'dicomp.roll.main',
      'dicomp.hb.main.>',
      '_INBOX_gpu.x.>',
    ],
  },
  viewer: {
    raw: () => eve,
    name: 'eve',
    cannotPublish: [
      task('eve'),
      subjects.client('ann.x'),
      subjects.node('gpu.x', 'eve.x'),
      subjects.direct('main', 'gpu.x', 'eve.x'),
      subjects.heartbeat('main', 'eve.x'),
      subjects.clients('main', 'eve.x'),
      '$JS.API.INFO',
      `$JS.API.STREAM.INFO.${QUEUE}`,
      `$JS.API.CONSUMER.MSG.NEXT.${QUEUE}.p1_any`,
      `$JS.ACK.${QUEUE}.p1_any.1.1.1.1.0`,
      `$O.${bucketOf('main')}.C.x`,
      `$JS.API.DIRECT.GET.${STORE}`,
    ],
    cannotHear: ['dicomp.c.eve.*', 'dicomp.c.ann.*', 'dicomp.n.eve.>', 'dicomp.a.main.>', 'dicomp.roll.main'],
    publishes: [subjects.roll('main')],
    hears: ['dicomp.hb.main.>', '_INBOX_eve.x.>'],
  },
}

describe.each(Object.entries(ROLES))('a %s', (_, rules) => {
  test.each([...NOBODY_PUBLISHES, ...rules.cannotPublish])('cannot publish %s', async (subject) => {
    expect(await rules.raw().publishing(subject)).toEqual([
      expect.stringMatching(/permissions violation for publish/i),
    ])
  })

  test.each([...NOBODY_HEARS, ...rules.cannotHear])('cannot subscribe %s', async (subject) => {
    expect(await rules.raw().subscribing(subject)).toEqual([
      expect.stringMatching(/permissions violation for subscription/i),
    ])
  })

  test.each(rules.publishes)('can publish %s', async (subject) => {
    expect(await rules.raw().publishing(subject)).toEqual([])
  })

  test.each(rules.hears)('can subscribe %s', async (subject) => {
    expect(await rules.raw().subscribing(subject)).toEqual([])
  })
})

describe('what is refused has no effect', () => {
  test('results that a client makes up do not reach another client', async () => {
    const heard: string[] = []
    bob.nc.subscribe(subjects.client('bob.x'), {
      callback: (_, message) => void heard.push(message.string()),
    })
    await bob.nc.flush()
    await ann.publishing(subjects.client('bob.x'), 'forged')
    await gpu.publishing(subjects.client('bob.x'), 'true')
    await bob.nc.flush()
    expect(heard).toEqual(['true'])
  })

  test('the queue that a client or a viewer deletes is there', async () => {
    for (const raw of [ann, eve, gpu]) {
      await expect(raw.nc.request(`$JS.API.STREAM.DELETE.${QUEUE}`, '', { timeout: 300 })).rejects.toThrow()
    }
    const reply = await ann.nc.request(`$JS.API.STREAM.INFO.${QUEUE}`)
    expect(reply.json<{ config: { name: string } }>().config.name).toBe(QUEUE)
  })
})

describe('what the roles are for works', () => {
  /** A pull of one message by the raw protocol. */
  const pull = (raw: Raw): Promise<{ text: string; ack: string }> =>
    new Promise((resolve, reject) => {
      const inbox = `_INBOX_gpu.x.pull${Math.random()}`
      raw.nc.subscribe(inbox, {
        max: 1,
        callback: (error, message) =>
          error ? reject(error) : resolve({ text: message.string(), ack: message.reply ?? '' }),
      })
      raw.nc.publish(
        `$JS.API.CONSUMER.MSG.NEXT.${QUEUE}.${consumerOf('p1', 'any')}`,
        JSON.stringify({ batch: 1, expires: 5e9 }),
        { reply: inbox },
      )
    })

  test('a task goes from a client through the queue to a node, its result back, and it is acknowledged', async () => {
    const link = await cluster.link('carol', 'client')
    const carol = await Raw.connect(link)
    await gpu.nc.flush()
    // Whatever the tests above have left there.
    const left = async () =>
      (await carol.nc.request(`$JS.API.STREAM.INFO.${QUEUE}`)).json<{ state: { messages: number } }>().state
        .messages
    while ((await left()) > 0) {
      const { ack } = await pull(gpu)
      await gpu.nc.request(ack, '+ACK')
    }
    const pubAck = await carol.nc.request(task('carol'), 'work')
    expect(pubAck.json()).toMatchObject({ stream: QUEUE })
    const { text, ack } = await pull(gpu)
    expect(text).toBe('work')
    const result = new Promise<string>((resolve) =>
      carol.nc.subscribe(subjects.client('carol.x'), { callback: (_, m) => resolve(m.string()) }),
    )
    await carol.nc.flush()
    expect(await gpu.publishing(subjects.client('carol.x'), 'done')).toEqual([])
    expect(await result).toBe('done')
    expect(await gpu.publishing(ack, '+WPI')).toEqual([])
    await gpu.nc.request(ack, '+ACK')
    expect(await left()).toBe(0)
  })

  test('client and node put and get values, of any name of theirs', async () => {
    const client = new Blobs(await open(await cluster.link('dora', 'client')))
    const node = new Blobs(await open(await cluster.link('gpu2', 'node')))
    const bytes = crypto.getRandomValues(new Uint8Array(60_000))
    const there = await client.put(bytes)
    expect(await node.get(there)).toEqual(bytes)
    const back = await node.put(bytes.subarray(1))
    expect(await client.get(back)).toEqual(bytes.subarray(1))
  })

  test('a node lays out the queue, and consumers for needs', async () => {
    const node = await open(await cluster.link('gpu3', 'node'))
    await layOut(node)
    await ensureNeed(node, { tags: ['big'] })
  })

  test('a viewer hears the nodes', async () => {
    const heard = new Promise<string>((resolve) =>
      eve.nc.subscribe(subjects.heartbeats('main'), { callback: (_, message) => resolve(message.string()) }),
    )
    await eve.nc.flush()
    await gpu.publishing(subjects.heartbeat('main', 'gpu.x'), 'beat')
    expect(await heard).toBe('beat')
  })
})
