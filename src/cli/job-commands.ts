/** Commands that look at a cluster and its nodes. */
import { Argument, type Command } from 'commander'
import { examples } from './examples.ts'
import type { Finish } from './program.ts'

export const CLUSTER = '--cluster <link>'
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
