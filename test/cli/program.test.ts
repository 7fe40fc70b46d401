import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Command, Option } from 'commander'
import { describe, expect, test } from 'vitest'
import { completionScript } from '../../src/cli/completion.ts'
import { buildProgram } from '../../src/cli/program.ts'
import { describeError } from '../../src/cli/report-error.ts'
import { duration, environment, lifetime, port, size, wholeNumber } from '../../src/cli/values.ts'
import { DicompError } from '../../src/errors.ts'

const program = buildProgram(async () => {})
const docs = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const visible = (command: Command): Option[] => [...command.createHelp().visibleOptions(command)]
const commands = program.commands.map((command) => [command.name(), command] as const)

describe('docs/cli.md says what --help says', () => {
  test('the commands', () => {
    const listed = [...docs.matchAll(/^\| \[`dicomp (\w+)`\]\(#dicomp-\w+\) \| (.*) \|$/gm)].map((m) => [
      m[1],
      m[2],
    ])
    expect(listed).toEqual(program.commands.map((command) => [command.name(), command.summary()]))
  })

  test.each(commands)('%s', (name, command) => {
    const section = docs.split(/^## /m).find((text) => text.startsWith(`dicomp ${name}\n`)) ?? ''
    expect(section).toContain(`\`dicomp ${name} ${command.usage()}\``)
    const listed = [...section.matchAll(/^\| `(-[^`]*)` \| (.*) \|$/gm)].map((m) => [
      m[1],
      m[2]?.replaceAll('`', ''),
    ])
    const options = visible(command).filter((option) => option.long !== '--help')
    const described = options.map((option) => {
      const [first, ...others] = option.argChoices ?? []
      const choices = first
        ? `: ${[`${first} (default)`, ...others].join(', ').replace(/, (\w+)$/, ' or $1')}`
        : ''
      return [option.flags, option.description + choices]
    })
    expect(listed).toEqual(described)
  })
})

test.each(commands)('%s has a summary, a description and examples', (_, command) => {
  expect(command.summary()).toMatch(/^\w/)
  let help = ''
  command.configureOutput({ writeOut: (text) => (help += text) })
  command.outputHelp()
  expect(help).toMatch(/Examples:\n {2}\S/)
  expect(help.replace(/\s+/g, ' ')).toContain(command.description().replace(/\s+/g, ' '))
})

describe('completion', () => {
  test.each(['bash', 'zsh', 'fish'] as const)('%s knows every command and option', (shell) => {
    const script = completionScript(program, shell)
    for (const command of program.commands) {
      expect(script).toContain(command.name())
      for (const option of visible(command)) {
        expect(script).toContain(shell === 'fish' ? `-l ${option.long?.slice(2)}` : option.long)
      }
    }
  })

  const complete = (...words: string[]) => {
    const script = `${completionScript(program, 'bash')}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _dicomp; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8' })
    expect(stderr).toBe('')
    return stdout.trim().split('\n')
  }

  test('bash completes commands, options and values', () => {
    expect(complete('dicomp', 'do')).toEqual(['doctor'])
    expect(complete('dicomp', 'map', '--unord')).toEqual(['--unordered'])
    expect(complete('dicomp', 'map', '--isolation', '')).toEqual(['thread', 'process'])
    expect(complete('dicomp', 'completion', 'f')).toEqual(['fish'])
    expect(complete('dicomp', 'map', '--input', 'package.j')).toEqual(['package.json'])
  })

  test.each(['zsh', 'fish'] as const)('%s accepts its script', (shell) => {
    const { error, status, stderr } = spawnSync(shell, ['-n'], {
      input: completionScript(program, shell),
      encoding: 'utf8',
    })
    if (error) return // this shell is not installed here
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

test('values of options', () => {
  expect([duration('30s'), duration('1500'), duration('1.5h')]).toEqual(['30s', 1500, '1.5h'])
  for (const bad of ['', '-1', 'soon', '0', '0s', '5 parsecs'])
    expect(() => duration(bad)).toThrow(/duration like 30s/)
  expect([size('2GB'), size('1.5GiB')]).toEqual(['2GB', '1.5GiB'])
  for (const bad of ['', '5', '0GB', '-1GB', 'big']) expect(() => size(bad)).toThrow(/size like 500MB/)
  expect([lifetime('30m'), lifetime('7d'), lifetime('52w')]).toEqual([1.8e6, 6.048e8, 3.14496e10])
  for (const bad of ['', '7', '0d', '-1d', '1.5d', '7 d', 'soon', '9999999999w'])
    expect(() => lifetime(bad)).toThrow(/time like 30m/)
  expect([port('1'), port('65535')]).toEqual([1, 65_535])
  for (const bad of ['0', '65536', '4222a']) expect(() => port(bad)).toThrow(/It must be a/)
  expect(wholeNumber(1)('8')).toBe(8)
  for (const bad of ['0', '-1', '1.5', 'x', '', '1e3'])
    expect(() => wholeNumber(1)(bad)).toThrow(/whole number from 1 up/)
  process.env.DICOMP_TEST_VALUE = 'here'
  expect(environment('A=1=2', environment('DICOMP_TEST_VALUE'))).toEqual({
    DICOMP_TEST_VALUE: 'here',
    A: '1=2',
  })
  expect(() => environment('DICOMP_TEST_NOT_THERE')).toThrow(/There is no variable/)
  expect(() => environment('=x')).toThrow(/NAME or NAME=value/)
})

test('our errors are shown as code, message and fix; others with their stack', () => {
  const ours = new DicompError('DICOMP_E_FILE', 'Cannot read x', {
    fix: 'check the path',
    cause: new Error('ENOENT'),
  })
  expect(describeError(ours, false)).toBe('error DICOMP_E_FILE: Cannot read x\n  Fix: check the path')
  const theirs = new TypeError('bad')
  expect(describeError(theirs, false)).toBe(`error: ${theirs.stack}`)
  const load = new DicompError('DICOMP_E_LOAD', 'Cannot load', { cause: theirs })
  expect(describeError(load, false)).toContain('Caused by: TypeError: bad\n')
  expect(describeError('text', false)).toBe('error: a value that is no Error was thrown: text')
  expect(describeError(theirs, true)).toContain('\u001b[31merror')
})
