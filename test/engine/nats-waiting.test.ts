import { afterEach, describe, expect, it, vi } from 'vitest'
import type { NodeInfo } from '../../src/engine/engine.ts'
import { reason, type Situation, Waiting } from '../../src/engine/nats/waiting.ts'

const node = (name: string, more: Partial<NodeInfo> = {}): NodeInfo => ({
  name,
  state: 'working',
  slots: 2,
  free: 1,
  tags: [],
  memory: 2 ** 30,
  os: 'linux',
  arch: 'x64',
  cpus: 2,
  runtime: 'node 22.0.0',
  version: '1.2.3',
  ...more,
})

const why = (more: Partial<Situation>): string | undefined =>
  reason({
    engine: 'host:4222 (pool main)',
    pool: 'main',
    connected: true,
    nodes: [node('a'), node('b')],
    jobs: [{ need: {}, waiting: 5, held: 0, refused: false }],
    trouble: undefined,
    ...more,
  })

afterEach(() => vi.restoreAllMocks())

describe('why tasks wait', () => {
  it.each<[string, Partial<Situation>, string | undefined]>([
    ['no connection', { connected: false }, 'there is no connection to the engine at host:4222 (pool main)'],
    ['no node', { nodes: [] }, 'no node is in the pool main; add one: npx dicomp join <link>'],
    [
      'another version',
      { nodes: [node('a', { state: 'incompatible' })] },
      'all nodes have another version of dicomp than this program (a: dicomp 1.2.3)',
    ],
    ['drained', { nodes: [node('a', { state: 'draining' })] }, 'all nodes are about to leave (a: draining)'],
    [
      'tags',
      { jobs: [{ need: { tags: ['gpu'] }, waiting: 1, held: 0, refused: false }] },
      'no node has the tag gpu (a: tags none; b: tags none)',
    ],
    [
      'memory',
      { jobs: [{ need: { memory: 2 ** 31 }, waiting: 1, held: 0, refused: false }] },
      'no node has 2.0 GB of memory for a slot (a: tags none, 1.0 GB; b: tags none, 1.0 GB)',
    ],
    [
      'busy',
      { nodes: [node('a', { free: 0 }), node('b', { free: 0 })] },
      'all 4 slots of 2 nodes have other work',
    ],
    ['a full store', { trouble: 'The object store is full' }, 'The object store is full'],
    [
      'a full queue',
      { jobs: [{ need: {}, waiting: 1, held: 0, refused: true }] },
      'the work queue at host:4222 (pool main) does not take tasks',
    ],
    ['nothing: some run', { jobs: [{ need: {}, waiting: 90, held: 2, refused: false }] }, undefined],
    ['nothing: they are about to begin', {}, undefined],
    ['nothing: there are none', { connected: false, jobs: [] }, undefined],
  ])('%s', (_, situation, text) => {
    expect(why(situation)).toBe(text)
  })

  it('is said once it has lasted three seconds, again after a minute, and anew when it is another reason', () => {
    const said = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const waiting = new Waiting()
    for (let now = 0; now <= 90_000; now += 250) waiting.look('no node is there', now)
    expect(said.mock.calls.map(([text]) => text)).toEqual([
      'Tasks wait (3 s): no node is there. It goes on by itself.',
      'Tasks wait (63 s): no node is there. It goes on by itself.',
    ])
    expect(waiting.text(95_000)).toBe('Tasks wait (95 s): no node is there')
    waiting.look('no connection', 96_000)
    expect(waiting.text(97_000)).toBe('Tasks wait (1 s): no connection')
    for (let now = 96_250; now <= 99_250; now += 250) waiting.look('no connection', now)
    expect(said).toHaveBeenCalledTimes(3)
    waiting.look(undefined, 100_000)
    expect(waiting.text(100_000)).toBeUndefined()
  })
})
