import { describe, expect, test } from 'vitest'
import { Members } from '../../src/engine/nats/members.ts'
import type { Heartbeat } from '../../src/nats/messages.ts'
import { PROTOCOL } from '../../src/nats/settings.ts'

const CLIENT = 'ann.1'

function beat(
  node: string,
  free: number,
  held: Heartbeat['held'] = [],
  more: Partial<Heartbeat> = {},
): Heartbeat {
  const host = { os: 'linux', arch: 'x64', cpus: 2, runtime: 'node 24', dicomp: '0.1.0', load: 0 }
  return {
    type: 'heartbeat',
    node,
    name: node,
    startedAt: 0,
    state: 'working',
    slots: 2,
    free,
    tags: [],
    memory: 2 ** 30,
    host,
    protocol: PROTOCOL,
    held,
    ...more,
  }
}

function hear(...beats: Heartbeat[]): Members {
  const members = new Members(0)
  for (const each of beats) members.beat(each, CLIENT, 0)
  return members
}

describe('which node idles', () => {
  test('the one with the most free slots, until they are lent', () => {
    const members = hear(beat('a.1', 1), beat('b.1', 2), beat('c.1', 0))
    expect([1, 2, 3, 4].map((chunk) => members.lend({}, chunk, false))).toEqual([
      'b.1',
      'a.1',
      'b.1',
      undefined,
    ])
  })

  test('a chunk that ends makes room again', () => {
    const members = hear(beat('a.1', 1))
    members.lend({}, 1, false)
    expect(members.lend({}, 2, false)).toBeUndefined()
    members.giveBack(1)
    members.giveBack(1)
    expect(members.lend({}, 2, false)).toBe('a.1')
    expect(members.lend({}, 3, false)).toBeUndefined()
  })

  test('a heartbeat counts what it names, and not what is still on its way', () => {
    const members = hear(beat('a.1', 2))
    members.lend({}, 1, false)
    members.lend({}, 2, false)
    // It has the first chunk and not yet the second.
    members.beat(beat('a.1', 1, [[CLIENT, 7, 1]]), CLIENT, 1)
    expect(members.lend({}, 3, false)).toBeUndefined()
    members.giveBack(1)
    members.giveBack(2)
    expect(members.lend({}, 3, false)).toBe('a.1')
    expect(members.lend({}, 4, false)).toBe('a.1')
    expect(members.lend({}, 5, false)).toBeUndefined()
  })

  test('chunks of other clients are no matter', () => {
    const members = hear(beat('a.1', 2))
    members.lend({}, 1, false)
    members.beat(beat('a.1', 1, [['bob.1', 7, 1]]), CLIENT, 1)
    expect(members.lend({}, 2, false)).toBeUndefined()
  })

  test('one that said that it is full is left alone until its next heartbeat', () => {
    const members = hear(beat('a.1', 2))
    members.lend({}, 1, false)
    members.full('a.1', 1)
    members.giveBack(1)
    expect(members.lend({}, 2, false)).toBeUndefined()
    members.beat(beat('a.1', 1), CLIENT, 1)
    expect(members.lend({}, 2, false)).toBe('a.1')
  })

  test('none that drains, lacks what is needed, speaks another protocol, or has left', () => {
    const members = hear(
      beat('a.1', 2, [], { state: 'draining' }),
      beat('b.1', 2, [], { protocol: PROTOCOL + 1 }),
      beat('c.1', 2, [], { tags: ['gpu'] }),
      beat('d.1', 2),
    )
    expect(members.lend({ tags: ['gpu'] }, 1, false)).toBe('c.1')
    expect(members.lend({ tags: ['big'] }, 2, false)).toBeUndefined()
    members.lend({}, 3, false)
    members.beat(beat('d.1', 2, [], { state: 'left' }), CLIENT, 1)
    members.giveBack(3)
    expect([4, 5].map((chunk) => members.lend({}, chunk, false))).toEqual(['c.1', undefined])
  })
})

describe('which node has room for a short chunk', () => {
  test('one with places beside what it holds, one for each slot', () => {
    const members = hear(
      beat('a.1', 0, [
        ['bob.1', 1, 1],
        ['bob.1', 1, 2],
        ['bob.1', 1, 3],
      ]),
    )
    expect(members.lend({}, 1, false)).toBeUndefined()
    expect(members.lend({}, 1, true)).toBe('a.1')
    expect(members.lend({}, 2, true)).toBeUndefined()
    members.giveBack(1)
    expect(members.lend({}, 2, true)).toBe('a.1')
  })

  test('what is on its way takes places too, until the node holds it', () => {
    const members = hear(beat('a.1', 2))
    expect([1, 2, 3, 4, 5].map((chunk) => members.lend({}, chunk, true))).toEqual([
      'a.1',
      'a.1',
      'a.1',
      'a.1',
      undefined,
    ])
    members.beat(
      beat('a.1', 0, [
        [CLIENT, 7, 1],
        [CLIENT, 7, 2],
        [CLIENT, 7, 3],
      ]),
      CLIENT,
      1,
    )
    expect(members.lend({}, 5, true)).toBeUndefined()
    members.giveBack(1)
    expect(members.lend({}, 5, true)).toBe('a.1')
  })

  test('one that was full, when a chunk of ours has ended there', () => {
    const members = hear(beat('a.1', 0, [['bob.1', 1, 1]]))
    for (const chunk of [1, 2]) expect(members.lend({}, chunk, true)).toBe('a.1')
    members.full('a.1', 1)
    members.giveBack(2)
    expect(members.lend({}, 3, true)).toBeUndefined()
    members.giveBack(1)
    expect(members.lend({}, 4, true)).toBe('a.1')
  })

  test('not one that has said that it is full', () => {
    const members = hear(beat('a.1', 2))
    members.lend({}, 1, true)
    members.full('a.1', 1)
    expect(members.lend({}, 2, true)).toBeUndefined()
    members.beat(beat('a.1', 1, [[CLIENT, 7, 1]]), CLIENT, 1)
    expect(members.lend({}, 2, true)).toBe('a.1')
  })
})
