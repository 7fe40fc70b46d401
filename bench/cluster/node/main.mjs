// One run: one competitor, one scenario, one fresh process. The driver starts it and reads the one line it prints.
//   node main.mjs <competitor file> <scenario> <params as JSON>
import { writeSync } from 'node:fs'
import { busyMs, cpuMs, tree } from './processes.mjs'
import * as scenarios from './scenarios.mjs'

const [file, scenario, params] = process.argv.slice(2)
const from = { at: performance.now(), machine: busyMs(), own: cpuMs([process.pid]) }
const { open } = await import(file)
const values = await new Map(Object.entries(scenarios)).get(scenario)(open, JSON.parse(params))
// What others took from the machine meanwhile, in cores: told before anything of ours ends.
const used = cpuMs(tree(process.pid)) - from.own
values.foreign = Math.max(0, busyMs() - from.machine - used) / (performance.now() - from.at)
writeSync(1, `BENCH ${JSON.stringify(values)}\n`)
// No competitor's shutdown is part of any measurement: the driver ends what is left, by its process ids.
process.exit(0)
