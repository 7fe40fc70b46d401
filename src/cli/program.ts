import { createRequire } from 'node:module'
import { Argument, Command, Option } from 'commander'
import { addEngine, addJoin, addToken, addUp } from './cluster-commands.ts'
import { examples } from './examples.ts'
import {
  addCancel,
  addDrive,
  addExplain,
  addJob,
  addJobs,
  addLogs,
  addNode,
  addNodes,
  addResults,
  addRetry,
  addRm,
  addStatus,
  addSubmit,
  CLUSTER,
  RUN_HELP,
} from './job-commands.ts'
import { duration, environment, size, tagList, wholeNumber } from './values.ts'

/** Ends a command: its promise gives the exit code. */
export type Finish = (code: Promise<number>) => Promise<void>

/** The whole command tree. What a command does is loaded when it runs, so that `--help` is quick. */
export function buildProgram(finish: Finish): Command {
  const program = new Command('dicomp')
    .description('One powerful computer out of all your computers: run functions on every core.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help about a command')
    .enablePositionalOptions()
    .showHelpAfterError('(dicomp --help tells what there is)')
    .addHelpText(
      'after',
      examples([
        'dicomp run app.ts',
        'dicomp map task.ts --input in.jsonl --output out.jsonl',
        'dicomp doctor',
      ]),
    )
  addRun(program, finish)
  addMap(program, finish)
  addUp(program, finish)
  addJoin(program, finish)
  addToken(program, finish)
  addEngine(program, finish)
  addStatus(program, finish)
  addNodes(program, finish)
  addNode(program, finish)
  addSubmit(program, finish)
  addJobs(program, finish)
  addJob(program, finish)
  addResults(program, finish)
  addLogs(program, finish)
  addCancel(program, finish)
  addRetry(program, finish)
  addRm(program, finish)
  addExplain(program, finish)
  addDrive(program, finish)
  addBench(program, finish)
  addDoctor(program, finish)
  addCompletion(program, finish)
  return program
}

function addRun(program: Command, finish: Finish): void {
  program
    .command('run')
    .summary('run a program that uses dicomp, with live progress')
    .description(
      'Run a program that uses dicomp: TypeScript or JavaScript, without set-up, with a live progress line per job on stderr.',
    )
    .argument('<file>', 'the program')
    .argument('[args...]', 'its arguments')
    .option(CLUSTER, RUN_HELP)
    .option('--no-progress', 'show no progress')
    .passThroughOptions()
    .addHelpText(
      'after',
      examples([
        'dicomp run app.ts',
        'dicomp run render.ts --width 1920',
        'dicomp run --no-progress app.ts > result.json',
        'dicomp run --cluster @my.link app.ts',
      ]),
    )
    .action((file: string, args: string[], options: { progress: boolean; cluster?: string }) =>
      finish(import('./run.ts').then(({ run }) => run(file, args, options))),
    )
}

function addMap(program: Command, finish: Finish): void {
  program
    .command('map')
    .summary('run a function over the lines of a file, on every core')
    .description(
      'Run the default export of a module on every line of a file or of stdin, on every core.\nThe input is JSON Lines (one value a line), the output too.',
    )
    .argument('<task>', 'module whose default export is the function: (input) => result')
    .optionsGroup('Input and output:')
    .option('-i, --input <file>', 'read from this file (default: stdin)')
    .option('-o, --output <file>', 'write to this file (default: stdout)')
    .option('--lines', 'lines are text, not JSON: strings in, strings out')
    .option('--unordered', 'write results as they come, not in the order of the input')
    .option('--errors <file>', 'write failed inputs there, with their errors; implies --keep-going')
    .optionsGroup('Failures:')
    .option('--keep-going', 'go on past lines and tasks that fail')
    .addOption(
      new Option('--bail', 'stop at the first failure (the default)').conflicts(['keepGoing', 'errors']),
    )
    .option('--retries <n>', 'run a failed task again, so many times (default: 0)', wholeNumber(0))
    .option('--timeout <duration>', 'fail a task that runs longer, for example 30s', duration)
    .optionsGroup('Interrupted runs:')
    .addOption(new Option('--resume', 'go on with an interrupted run (or begin one)').conflicts('overwrite'))
    .option('--overwrite', 'start over, although there are results of an interrupted run')
    .option('--allow-changed-task', 'resume although the code of the task was changed')
    .optionsGroup('Resources:')
    .addOption(new Option(CLUSTER, RUN_HELP).conflicts(['slots', 'isolation']))
    .option('--tags <list>', 'run on nodes of a cluster with these tags only, for example gpu,big', tagList)
    .option('--slots <n>', 'use so many cores (default: all)', wholeNumber(1))
    .option('--concurrency <n>', 'run at most so many tasks at the same time', wholeNumber(1))
    .addOption(new Option('--isolation <kind>', 'what a task runs in').choices(['thread', 'process']))
    .option('--memory <size>', 'memory that a task may use, for example 2GB', size)
    .option(
      '--env <name[=value]>',
      'environment variable that tasks see (repeatable; most are not passed on)',
      environment,
    )
    .optionsGroup('Messages:')
    .option('--no-progress', 'show no progress')
    .option('--json', 'print a summary as JSON at the end (to stderr when the results go to stdout)')
    .optionsGroup('Help:')
    .addHelpText(
      'after',
      examples([
        'dicomp map task.ts --input in.jsonl --output out.jsonl',
        'dicomp map task.ts --input in.jsonl --output out.jsonl --resume',
        'dicomp map task.ts -i in.jsonl -o out.jsonl --errors bad.jsonl --retries 2 --timeout 30s',
        'dicomp map task.ts -i in.jsonl -o out.jsonl --cluster @my.link --tags gpu',
        'cat urls.txt | dicomp map check.ts --lines --unordered | sort',
      ]) +
        '\n\nWith --output, a run that was interrupted in any way (Ctrl-C, a crash, a power cut) goes on with --resume:\nno line is lost, and none that is in the output is done again.',
    )
    .action((task: string, options) => finish(import('./map.ts').then(({ map }) => map(task, options))))
}

function addBench(program: Command, finish: Finish): void {
  program
    .command('bench')
    .summary("print this machine's own numbers")
    .description(
      'Measure dicomp on this machine, in a few seconds: overhead per task, calls per second, map rate, efficiency.',
    )
    .option('--slots <n>', 'use so many cores (default: all)', wholeNumber(1))
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['dicomp bench', 'dicomp bench --json > bench.json']))
    .action((options) => finish(import('./bench.ts').then(({ bench }) => bench(options))))
}

function addDoctor(program: Command, finish: Finish): void {
  program
    .command('doctor')
    .summary('check this machine, and say what to do')
    .description(
      'Check Node, cores, memory, limits and the kinds of isolation of this machine. Exits with 1 when something is wrong.',
    )
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['dicomp doctor', 'dicomp doctor --json']))
    .action((options) => finish(import('./doctor.ts').then(({ doctor }) => doctor(options))))
}

function addCompletion(program: Command, finish: Finish): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description('Print a completion script for your shell.')
    .addArgument(new Argument('<shell>', 'your shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      examples([
        'eval "$(dicomp completion bash)"          # in ~/.bashrc',
        'eval "$(dicomp completion zsh)"           # in ~/.zshrc, after compinit',
        'dicomp completion fish > ~/.config/fish/completions/dicomp.fish',
      ]),
    )
    .action((shell: 'bash' | 'zsh' | 'fish') =>
      finish(
        import('./completion.ts').then(({ completionScript }) => {
          process.stdout.write(completionScript(program, shell))
          return 0
        }),
      ),
    )
}

/** From the package.json above this file, wherever the build has put it. */
function packageVersion(): string {
  const require = createRequire(import.meta.url)
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const found = require(path) as { name?: string; version?: string }
      if (found.name === 'dicomp' && found.version) return found.version
    } catch {
      // Not at this depth.
    }
  }
  return 'unknown'
}
