import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LiveArea } from '../../src/progress/index.ts'
import { Screen } from './screen.ts'

test('printed lines stay above the live ones, which are redrawn in place', () => {
  const screen = new Screen()
  const area = new LiveArea(screen)
  area.update(['job 1%'])
  screen.write('hello\n')
  area.update(['job 2%', 'other 5%'])
  screen.write(new TextEncoder().encode('world\n'))
  expect(screen.text).toBe('hello\nworld\njob 2%\nother 5%')
  area.update(['job 3%'])
  expect(screen.text).toBe('hello\nworld\njob 3%')
  area.print('done')
  area.close()
  expect(screen.text).toBe('hello\nworld\ndone')
})

test('an unfinished line of the program is left alone until it ends', () => {
  const screen = new Screen()
  const area = new LiveArea(screen)
  area.update(['job 1%'])
  screen.write('Name? ')
  area.update(['job 2%'])
  expect(screen.text).toBe('Name? ')
  screen.write('Ada\n')
  expect(screen.text).toBe('Name? Ada\njob 2%')
  area.close()
})

test('a second stream on the same terminal does not tear the lines either', () => {
  const screen = new Screen()
  const stdout = { isTTY: true, write: (chunk: string) => screen.write(chunk) }
  const before = stdout.write
  const area = new LiveArea(screen, [stdout])
  area.update(['job'])
  stdout.write('out\n')
  expect(screen.text).toBe('out\njob')
  area.close()
  expect(stdout.write).toBe(before)
})

test('a stream that is not a terminal is not touched', () => {
  const file = { isTTY: false, write: () => true }
  const before = file.write
  new LiveArea(new Screen(), [file])
  expect(file.write).toBe(before)
})

test('more lines than the terminal has are summed up', () => {
  const screen = new Screen()
  screen.rows = 4
  const area = new LiveArea(screen)
  area.update(['a', 'b', 'c', 'd', 'e'])
  expect(screen.text).toBe('a\nb\n… and 3 more')
  area.close()
})

test('whatever is printed and drawn, the screen shows the printed text and then the last lines', () => {
  const line = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom('a', 'b', ' ') })
  const step = fc.oneof(
    fc.record({ print: fc.array(line, { maxLength: 3 }), end: fc.boolean() }),
    fc.record({ draw: fc.array(line, { maxLength: 3 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const screen = new Screen()
      screen.rows = 1000
      const area = new LiveArea(screen)
      let printed = ''
      let lines: string[] = []
      for (const s of steps) {
        if ('draw' in s) area.update((lines = s.draw))
        else {
          const text = s.print.join('\n') + (s.end ? '\n' : '')
          printed += text
          screen.write(text)
        }
      }
      const open = printed !== '' && !printed.endsWith('\n')
      expect(screen.text).toBe((open ? printed : printed + lines.join('\n')).replace(/\n+$/, ''))
      area.close()
      expect(screen.text).toBe(printed.replace(/\n+$/, ''))
    }),
  )
})
