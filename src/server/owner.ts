/** One `dicomp up` per folder. */
import { readFileSync, rmSync } from 'node:fs'
import { DicompError } from '../errors.ts'
import { birthOf } from './processes.ts'
import { exclusively, filesOf, writePrivately } from './state.ts'

interface Owner {
  pid: number
  born: string
}

/**
 * Makes this process the one that runs the cluster of the folder.
 * @returns what gives it up again
 * @throws DicompError (DICOMP_E_UP) another process does
 */
export function takeOwnership(dir: string): Promise<() => void> {
  const file = filesOf(dir).owner
  return exclusively(dir, async () => {
    const other = await ownerOf(dir)
    if (other !== undefined) {
      throw new DicompError('DICOMP_E_UP', `The cluster in ${dir} is up already (process ${other})`, {
        fix: 'use that one, end it first, or start another with --data <folder> --port <number>',
      })
    }
    const owner: Owner = { pid: process.pid, born: (await birthOf(process.pid)) ?? '' }
    writePrivately(file, JSON.stringify(owner))
    return () => rmSync(file, { force: true })
  })
}

/** The process that runs the cluster; undefined where none does (any more). */
export async function ownerOf(dir: string): Promise<number | undefined> {
  let owner: Owner
  try {
    owner = JSON.parse(readFileSync(filesOf(dir).owner, 'utf8')) as Owner
  } catch {
    return undefined
  }
  return (await birthOf(owner.pid)) === owner.born ? owner.pid : undefined
}
