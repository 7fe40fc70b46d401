/** Commands for the jobs and the nodes of a cluster. */
import { Argument, type Command } from 'commander'
import { examples } from './examples.ts'
import type { Finish } from './program.ts'
import { duration, environment, lifetime, number, size, tagList, wholeNumber } from './values.ts'

export const CLUSTER = '--cluster <link>'
export const RUN_HELP =
  'run on this cluster: its link, or @file that has it (default: DICOMP_URL, else this computer)'
export const CLUSTER_HELP = 'link of the cluster, or @file that has it (default: DICOMP_URL)'

export function addNodes(program: Command, finish: Finish): void {
  program
    .command('nodes')
    .summary('list the computers of a cluster')
    .description('List the nodes of the pool: state, slots in use, tags, memory, system, versions.')
    .option(CLUSTER, CLUSTER_HELP)
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['dicomp nodes', 'dicomp nodes --cluster @my.link --json']))
    .action((options) => finish(import('./nodes.ts').then(({ nodes }) => nodes(options))))
}

export function addNode(program: Command, finish: Finish): void {
  program
    .command('node')
    .summary('have a computer leave the cluster')
    .description(
      'Have a node finish what it runs, take nothing new, and leave (drain). `dicomp nodes` lists the names.',
    )
    .addArgument(new Argument('<action>', 'what to do').choices(['drain']))
    .argument('<name>', 'name of the node')
    .option(CLUSTER, CLUSTER_HELP)
    .option('--json', 'print JSON')
    .addHelpText('after', examples(['dicomp node drain laptop']))
    .action((_, name, options) => finish(import('./nodes.ts').then(({ drain }) => drain(name, options))))
}

export function addStatus(program: Command, finish: Finish): void {
  withLink(
    program
      .command('status')
      .summary('tell how a cluster is')
      .description(
        'Tell how a cluster is: its engine, nodes, slots in use, detached jobs and their drivers.',
      ),
  )
    .addHelpText('after', examples(['dicomp status', 'dicomp status --json']))
    .action((options) => finish(import('./status.ts').then(({ status }) => status(options))))
}

export function addSubmit(program: Command, finish: Finish): void {
  withLink(
    program
      .command('submit')
      .summary('hand a job to a cluster, which goes on without you')
      .description(
        'Store a job in the cluster: the default export of a module, on every line of a file or of stdin (JSON Lines). Prints its id.\nThe cluster runs it, whatever becomes of this computer; `dicomp results <id>` fetches the results, from anywhere.',
      )
      .argument('<task>', 'module whose default export is the function: (input) => result')
      .optionsGroup('Input:')
      .option('-i, --input <file>', 'read from this file (default: stdin)')
      .option('--lines', 'lines are text, not JSON')
      .optionsGroup('How it runs:')
      .option('--name <name>', 'name of the job, for people (default: the file name)')
      .option('--retries <n>', 'run a failed task again, so many times (default: 0)', wholeNumber(0))
      .option('--timeout <duration>', 'fail a task that runs longer, for example 30s', duration)
      .option('--concurrency <n>', 'run at most so many tasks at the same time', wholeNumber(1))
      .option('--priority <n>', 'higher goes first (default: 0)', number)
      .option('--tags <list>', 'run on nodes with these tags only, for example gpu,big', tagList)
      .option('--memory <size>', 'memory that a task may use, for example 2GB', size)
      .option(
        '--env <name[=value]>',
        'environment variable that tasks see (repeatable; most are not passed on)',
        environment,
      )
      .option('--keep <time>', 'keep the results for this long after the end (default: 7d)', lifetime)
      .optionsGroup('Where:'),
  )
    .addHelpText(
      'after',
      examples([
        'dicomp submit task.ts --input in.jsonl',
        'dicomp submit render.ts -i frames.jsonl --tags gpu --retries 2 --timeout 10m',
        'id=$(dicomp submit task.ts -i in.jsonl) && dicomp results "$id" > out.jsonl',
      ]),
    )
    .action((task, options) => finish(import('./submit.ts').then(({ submit }) => submit(task, options))))
}

export function addJobs(program: Command, finish: Finish): void {
  withLink(
    program
      .command('jobs')
      .summary('list the detached jobs of a cluster')
      .description('List the detached jobs of the pool: state, progress, failures, what they wait for.'),
  )
    .addHelpText('after', examples(['dicomp jobs', 'dicomp jobs --json']))
    .action((options) => finish(import('./jobs.ts').then(({ jobs }) => jobs(options))))
}

export function addJob(program: Command, finish: Finish): void {
  withLink(
    program
      .command('job')
      .summary('tell how a detached job is, or wait for its end')
      .description(
        'Tell how a detached job is: state, progress, what it waits for. With --wait, exits with 0 when all its tasks have succeeded.',
      )
      .argument('<id>', 'id of the job')
      .option('--wait', 'wait until it is over, with progress')
      .option('--no-progress', 'show no progress'),
  )
    .addHelpText('after', examples(['dicomp job solve-k3f9x2m7qa', 'dicomp job solve-k3f9x2m7qa --wait']))
    .action((id, options) => finish(import('./jobs.ts').then(({ job }) => job(id, options))))
}

export function addResults(program: Command, finish: Finish): void {
  withLink(
    program
      .command('results')
      .summary('fetch the results of a detached job')
      .description(
        'Write the results of a detached job as JSON Lines, in the order of its inputs, as they come, until it is over. What failed is told on stderr.',
      )
      .argument('<id>', 'id of the job')
      .option('-o, --output <file>', 'write to this file (default: stdout)')
      .option('--unordered', 'write results as they come, not in the order of the inputs')
      .option('--lines', 'results are text, not JSON')
      .option('--no-wait', 'write what is there, and do not wait for the rest'),
    'write a line for every task: {"index", "status", "value" or "error"}',
  )
    .addHelpText(
      'after',
      examples([
        'dicomp results solve-k3f9x2m7qa > out.jsonl',
        'dicomp results solve-k3f9x2m7qa --json --no-wait | jq .index',
      ]),
    )
    .action((id, options) => finish(import('./results.ts').then(({ results }) => results(id, options))))
}

export function addLogs(program: Command, finish: Finish): void {
  withLink(
    program
      .command('logs')
      .summary('show what the tasks of a detached job print')
      .description(
        'Show what the tasks of a detached job have printed, each line with the number of its task.',
      )
      .argument('<id>', 'id of the job')
      .option('-f, --follow', 'go on with what is still to come, until the job is over'),
    'print JSON lines',
  )
    .addHelpText('after', examples(['dicomp logs solve-k3f9x2m7qa', 'dicomp logs solve-k3f9x2m7qa -f']))
    .action((id, options) => finish(import('./results.ts').then(({ logs }) => logs(id, options))))
}

export function addCancel(program: Command, finish: Finish): void {
  withLink(
    program
      .command('cancel')
      .summary('end a detached job')
      .description(
        'End a detached job: what runs is stopped, the rest never begins. The results that it has stay.',
      )
      .argument('<id>', 'id of the job'),
  )
    .addHelpText('after', examples(['dicomp cancel solve-k3f9x2m7qa']))
    .action((id, options) => finish(import('./jobs.ts').then(({ cancel }) => cancel(id, options))))
}

export function addRetry(program: Command, finish: Finish): void {
  withLink(
    program
      .command('retry')
      .summary('run again what failed of a detached job')
      .description(
        'Run again the tasks of a detached job that have failed, and those that it had not begun when it was cancelled. Tasks with a result are not run again.',
      )
      .argument('<id>', 'id of the job'),
  )
    .addHelpText('after', examples(['dicomp retry solve-k3f9x2m7qa']))
    .action((id, options) => finish(import('./jobs.ts').then(({ retry }) => retry(id, options))))
}

export function addRm(program: Command, finish: Finish): void {
  withLink(
    program
      .command('rm')
      .summary('remove detached jobs with their results')
      .description('Remove detached jobs that are over, with their results and logs.')
      .argument('<ids...>', 'ids of the jobs')
      .option('--force', 'also those that are not over: they are cancelled'),
  )
    .addHelpText('after', examples(['dicomp rm solve-k3f9x2m7qa', 'dicomp rm --force solve-k3f9x2m7qa']))
    .action((ids, options) => finish(import('./jobs.ts').then(({ remove }) => remove(ids, options))))
}

export function addExplain(program: Command, finish: Finish): void {
  withLink(
    program
      .command('explain')
      .summary('say why a detached job waits')
      .description('Say why a detached job waits: which of its needs is not met, and what each node lacks.')
      .argument('<id>', 'id of the job'),
  )
    .addHelpText('after', examples(['dicomp explain solve-k3f9x2m7qa']))
    .action((id, options) => finish(import('./explain.ts').then(({ explain }) => explain(id, options))))
}

export function addDrive(program: Command, finish: Finish): void {
  program
    .command('drive')
    .summary('drive the detached jobs of a cluster')
    .description(
      'Drive detached jobs, until Ctrl-C: give their tasks to the nodes and store the results. `dicomp up` does it too; another one anywhere takes over when that computer is lost.',
    )
    .argument('[link]', 'link for a client of the cluster, @file or - (default: DICOMP_URL)')
    .option('--json', 'print events as JSON lines')
    .addHelpText('after', examples(['dicomp drive @my.link', 'DICOMP_URL=dicomp://… dicomp drive']))
    .action((link, options) => finish(import('./drive.ts').then(({ drive }) => drive(link, options))))
}

function withLink(command: Command, json = 'print JSON'): Command {
  return command.option(CLUSTER, CLUSTER_HELP).option('--json', json)
}
