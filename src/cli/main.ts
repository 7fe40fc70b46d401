#!/usr/bin/env node
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf } from './exit.ts'
import { buildProgram } from './program.ts'
import { describeError } from './report-error.ts'

const program = buildProgram(async (code) => {
  process.exitCode = await code
})
// Commander ends the process itself otherwise, with 1 for a wrong command line.
for (const command of [program, ...program.commands]) command.exitOverride()

// A reader that has seen enough (`dicomp … | head`) is no failure to talk about.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodeOf('SIGPIPE'))
})

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
  } else {
    process.stderr.write(`${describeError(error)}\n`)
    const code = (error as { code?: unknown } | undefined)?.code
    process.exitCode = code === 'DICOMP_E_OPTION' ? EXIT.usage : EXIT.failure
  }
}
