import { realpathSync, rmSync, type Stats, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DicompError, OptionError } from '../../errors.ts'
import { fileError } from './files.ts'
import type { InspectedTask } from './inspect-task.ts'
import { emptyMark, type Folded, type Header, type Mark } from './journal-format.ts'
import type { JournaledPaths } from './journaled-saver.ts'
import { readJournal, recover } from './recover.ts'
import { isAlive, thisWriter } from './writer.ts'

export interface OutputOptions {
  input?: string | undefined
  output?: string | undefined
  errors?: string | undefined
  lines: boolean
  unordered: boolean
  resume: boolean
  overwrite: boolean
  allowChangedTask: boolean
}

export type OutputPlan =
  /** stdout, a pipe or a device: nothing to resume. */
  | { kind: 'plain'; out: string | undefined; err: string | undefined }
  | { kind: 'journaled'; paths: JournaledPaths; header: Header; mark: Mark }
  /** `--resume` of a run that had finished. */
  | { kind: 'complete'; out: string }

/**
 * Decides where the results go and from where the run goes on; changes nothing yet.
 * @throws DicompError DICOMP_E_RESUME, DICOMP_E_FILE or DICOMP_E_OPTION
 */
export function planOutput(task: InspectedTask, options: OutputOptions): OutputPlan {
  const { output, errors, resume } = options
  refuseSameFile(task, options)
  const stats = output === undefined ? undefined : statOf(output)
  if (stats?.isDirectory()) throw fileError('write to', output ?? '', { code: 'EISDIR' })
  if (output === undefined || (stats && !stats.isFile())) {
    if (!resume) return { kind: 'plain', out: output, err: errors }
    throw new OptionError(
      '--resume needs an output that can be continued',
      'name a regular file with --output',
    )
  }
  if (errors !== undefined && statOf(errors)?.isFile() === false) {
    throw fileError(
      'write to',
      errors,
      new Error('it is not a regular file, so an interrupted run could not be resumed'),
    )
  }
  const paths = { out: resolve(output), err: errors && resolve(errors), journal: `${resolve(output)}.dicomp` }
  const header = headerOf(task, options)
  const folded = readJournal(paths.journal)
  if (folded && isAlive(folded.header.writer)) {
    throw new DicompError(
      'DICOMP_E_RESUME',
      `Process ${folded.header.writer.pid} is writing to ${output} right now`,
      {
        fix: 'wait for it or stop it',
      },
    )
  }
  if (!resume) {
    if (folded && !options.overwrite) refuseOverwrite(folded, output)
    return { kind: 'journaled', paths, header, mark: emptyMark() }
  }
  if (folded?.ended) rmSync(paths.journal)
  if (folded?.ended || (!folded && stats && stats.size > 0)) return { kind: 'complete', out: output }
  if (!folded) return { kind: 'journaled', paths, header, mark: emptyMark() }
  compare(folded.header, header, options)
  const mark = recover(folded, paths.out, folded.header.errors)
  if (folded.header.errors !== header.errors && mark.failed > 0) {
    const were = folded.header.errors ? `in ${folded.header.errors}` : 'in no file'
    throw new DicompError('DICOMP_E_RESUME', `The failed inputs of the interrupted run are ${were}`, {
      fix: folded.header.errors
        ? `resume with --errors ${folded.header.errors}`
        : 'resume without --errors, or start over with --overwrite',
    })
  }
  if (folded.header.errors !== header.errors) mark.err = [0, 0]
  return { kind: 'journaled', paths, header, mark }
}

function headerOf(task: InspectedTask, options: OutputOptions): Header {
  return {
    version: 1,
    task: task.path,
    taskHash: task.hash,
    lines: options.lines,
    unordered: options.unordered,
    ...(options.errors === undefined ? {} : { errors: resolve(options.errors) }),
    writer: thisWriter(),
  }
}

function compare(before: Header, now: Header, options: OutputOptions): void {
  const flag = (yes: boolean, name: string) => (yes ? `with ${name}` : `without ${name}`)
  for (const [key, name] of [
    ['lines', '--lines'],
    ['unordered', '--unordered'],
  ] as const) {
    if (before[key] === now[key]) continue
    throw new DicompError(
      'DICOMP_E_RESUME',
      `The interrupted run was ${flag(before[key], name)}, this one is ${flag(now[key], name)}`,
      {
        fix: `resume ${flag(before[key], name)}, or start over with --overwrite`,
      },
    )
  }
  if (before.taskHash !== now.taskHash && !options.allowChangedTask) {
    const what = before.task === now.task ? `${now.task} was changed` : `The task was ${before.task}`
    throw new DicompError('DICOMP_E_RESUME', `${what} since the run that is to be resumed`, {
      fix: 'use the task as it is now for the rest with --allow-changed-task, or start over with --overwrite',
    })
  }
}

function refuseOverwrite(folded: Folded, output: string): void {
  if (folded.ended || (folded.mark.done.length === 0 && folded.rows.length === 0)) return
  throw new DicompError('DICOMP_E_RESUME', `${output} has the results of an interrupted run`, {
    fix: 'go on with --resume, or start over with --overwrite',
  })
}

/** Writing to what is read would destroy it. */
function refuseSameFile(task: InspectedTask, { input, output, errors }: OutputOptions): void {
  const named: [string, string | undefined][] = [
    ['--output', output],
    ['--errors', errors],
    ['--input', input],
    ['the task', task.path],
  ]
  for (const [i, [writer, path]] of named.slice(0, 2).entries()) {
    for (const [other, otherPath] of named.slice(i + 1)) {
      if (path === undefined || otherPath === undefined || !sameFile(path, otherPath)) continue
      throw new OptionError(`${writer} and ${other} are the same file: ${path}`, 'name another file')
    }
  }
}

function sameFile(a: string, b: string): boolean {
  const [one, two] = [statOf(a), statOf(b)]
  if (one && two) return one.isFile() && realpathSync(a) === realpathSync(b)
  return resolve(a) === resolve(b)
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw fileError('write to', path, error)
  }
}
