import type { Command, Option } from 'commander'

type Shell = 'bash' | 'zsh' | 'fish'

/** A completion script, made from the command tree itself so that it never lags behind. */
export function completionScript(program: Command, shell: Shell): string {
  const tree = describe(program)
  return { bash, zsh, fish }[shell](tree)
}

interface Tree {
  name: string
  options: OptionInfo[]
  commands: CommandInfo[]
}

interface CommandInfo {
  name: string
  summary: string
  options: OptionInfo[]
  /** Fixed values of its first argument. */
  choices: string[]
}

interface OptionInfo {
  flags: string[]
  description: string
  /** `file`: a path; `choices`: one of a few; `value`: anything; undefined: it takes no value. */
  takes: 'file' | 'choices' | 'value' | undefined
  choices: string[]
}

function describe(program: Command): Tree {
  const help = program.createHelp()
  const options = (command: Command) => help.visibleOptions(command).map(describeOption)
  const commands = help.visibleCommands(program).map((command) => ({
    name: command.name(),
    summary: command.summary() || command.description(),
    options: options(command),
    choices:
      command.name() === 'help'
        ? program.commands.map((c) => c.name())
        : [...(command.registeredArguments[0]?.argChoices ?? [])],
  }))
  return { name: program.name(), options: options(program), commands }
}

function describeOption(option: Option): OptionInfo {
  const takesValue = option.required || option.optional
  const takes = !takesValue
    ? undefined
    : option.argChoices
      ? 'choices'
      : /<file>/.test(option.flags)
        ? 'file'
        : 'value'
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null) as string[],
    description: option.description,
    takes,
    choices: [...(option.argChoices ?? [])],
  }
}

function bash({ name, options, commands }: Tree): string {
  const flags = (list: OptionInfo[]) => list.flatMap((option) => option.flags).join(' ')
  const cases = commands.map((command) => {
    const valued = command.options.filter((option) => option.takes)
    const values = valued.map((option) => {
      const reply = {
        file: 'COMPREPLY=($(compgen -f -- "$word"))',
        choices: compgen(option.choices.join(' ')),
        value: ':',
      }
      return `        ${option.flags.join('|')}) ${reply[option.takes ?? 'value']}; return ;;`
    })
    const prev = values.length > 0 ? `      case "$before" in\n${values.join('\n')}\n      esac\n` : ''
    const words = [flags(command.options), ...command.choices].join(' ')
    return `    ${command.name})\n${prev}      ${compgen(words)}\n      ;;`
  })
  return `# ${name} completion for bash
_${name}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    ${compgen([...commands.map((command) => command.name), flags(options)].join(' '))}
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
}
complete -o default -F _${name} ${name}
`
}

function compgen(words: string): string {
  return `COMPREPLY=($(compgen -W "${words}" -- "$word"))`
}

function zsh({ name, options, commands }: Tree): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''")
  const described = (text: string) =>
    quote(text).replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')
  const spec = (option: OptionInfo) => {
    const value = { file: ':file:_files', choices: `:value:(${option.choices.join(' ')})`, value: ':value: ' }
    const tail = `[${described(option.description)}]${option.takes ? value[option.takes] : ''}`
    const others = option.flags.join(' ')
    return option.flags.map((flag) => `'(${others})${flag}${tail}'`).join(' ')
  }
  const list = commands.map((command) => `    '${command.name}:${described(command.summary)}'`).join('\n')
  const cases = commands.map((command) => {
    const rest = command.choices.length > 0 ? `'1:value:(${command.choices.join(' ')})'` : "'*:file:_files'"
    return `    ${command.name}) _arguments ${[...command.options.map(spec), rest].join(' ')} ;;`
  })
  return `#compdef ${name}
_${name}() {
  local -a commands=(
${list}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments ${options.map(spec).join(' ')}
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join('\n')}
  esac
}
compdef _${name} ${name}
`
}

function fish({ name, options, commands }: Tree): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const line = (condition: string, option: OptionInfo) => {
    const flags = option.flags.map((flag) =>
      flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
    )
    const value = { file: ' -r -F', choices: ` -x -a ${quote(option.choices.join(' '))}`, value: ' -x' }
    return `complete -c ${name} -n ${quote(condition)} ${flags.join(' ')}${option.takes ? value[option.takes] : ''} -d ${quote(option.description)}`
  }
  const lines = [`# ${name} completion for fish`]
  for (const option of options) lines.push(line('__fish_use_subcommand', option))
  for (const command of commands) {
    const here = `__fish_seen_subcommand_from ${command.name}`
    lines.push(
      `complete -c ${name} -n '__fish_use_subcommand' -f -a ${command.name} -d ${quote(command.summary)}`,
    )
    for (const option of command.options) lines.push(line(here, option))
    if (command.choices.length > 0) {
      lines.push(`complete -c ${name} -n ${quote(here)} -f -a ${quote(command.choices.join(' '))}`)
    }
  }
  return `${lines.join('\n')}\n`
}
