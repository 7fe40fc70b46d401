import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type InputRecord, LineReader } from '../../../src/cli/map/line-reader.ts'

async function* pieces(bytes: Uint8Array, sizes: number[]) {
  let from = 0
  for (let i = 0; from < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    yield bytes.subarray(from, from + size)
    from += size
  }
}

async function read(
  text: string | Uint8Array,
  options: { skipBlank?: boolean; maxLine?: number; sizes?: number[] } = {},
) {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  const { sizes = [1 << 16], ...rest } = options
  const reader = new LineReader(pieces(bytes, sizes), { skipBlank: true, ...rest })
  const records: InputRecord[] = []
  for await (const record of reader) records.push(record)
  return { reader, records, texts: records.map((record) => record.text) }
}

test('lines end with LF or CRLF, and the last one may lack its end', async () => {
  expect((await read('a\nb\r\nc')).texts).toEqual(['a', 'b', 'c'])
  expect((await read('a\nb\n')).texts).toEqual(['a', 'b'])
  expect((await read('')).texts).toEqual([])
})

test('blank lines are counted but are no JSON records; as text they are lines', async () => {
  const { records } = await read('1\n\n  \n2\n')
  expect(records.map(({ index, line, text }) => [index, line, text])).toEqual([
    [0, 1, '1'],
    [1, 4, '2'],
  ])
  expect((await read('a\n\nb\n', { skipBlank: false })).texts).toEqual(['a', '', 'b'])
})

test('a byte order mark is not part of the first line', async () => {
  expect((await read('\ufeff{"a":1}\n')).texts).toEqual(['{"a":1}'])
})

test('invalid UTF-8 is a problem of its line only', async () => {
  const { records } = await read(Uint8Array.from([0x61, 10, 0xff, 0xfe, 10, 0x62]))
  expect(records.map((record) => record.problem)).toEqual([undefined, 'it is not valid UTF-8', undefined])
})

test('a line that is too long is a problem and is not held in memory', async () => {
  const text = `ok\n${'x'.repeat(3_000_000)}\nok too\n${'y'.repeat(3_000_000)}`
  const { records, reader } = await read(text, { maxLine: 1024 * 1024, sizes: [64 * 1024] })
  expect(records.map(({ line, problem }) => [line, problem])).toEqual([
    [1, undefined],
    [2, 'it is longer than 1 MiB'],
    [3, undefined],
    [4, 'it is longer than 1 MiB'],
  ])
  expect(reader.bytes).toBe(text.length)
})

test('however the bytes are cut, the lines, the checksum and the byte count are the same', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', 'é', '日', '😀', ' ', '\r', '"') })
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      fc.boolean(),
      async (lines, sizes, skipBlank) => {
        const text = lines.map((l) => `${l}\n`).join('')
        const whole = await read(text, { skipBlank })
        const cut = await read(text, { skipBlank, sizes })
        expect(cut.records).toEqual(whole.records)
        expect(cut.reader.state).toEqual(whole.reader.state)
        expect(cut.reader.bytes).toBe(new TextEncoder().encode(text).length)
        const expected = lines.map((l) => l.replace(/\r$/, '')).filter((l) => !skipBlank || l.trim() !== '')
        expect(whole.texts).toEqual(expected)
      },
    ),
  )
})

test('the checksum tells inputs apart', async () => {
  const states = await Promise.all(
    ['a\nb\n', 'ab\n', 'a\nc\n', 'b\na\n', '\na\nb\n', 'a\n\nb\n'].map(
      async (text) => (await read(text, { skipBlank: false })).reader.state[1],
    ),
  )
  expect(new Set(states).size).toBe(6)
})
