// dicomp by its public API. `dicomp`: threads, `dicomp+process`: a child process per slot, `dicomp+nocache`: as on
// the first day, with an empty bundle cache.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, transfer } from 'dicomp'
import { spin } from '../child/ops.mjs'

export async function open({ slots, variant }) {
  if (variant === 'nocache') process.env.DICOMP_CACHE_DIR = mkdtempSync(join(tmpdir(), 'dicomp-bench-'))
  const cluster = await connect({ slots, isolation: variant === 'process' ? 'process' : 'thread' })
  const ops = {
    identity: cluster.distribute((x) => x),
    square: cluster.distribute((x) => x * x),
    squareAll: cluster.distribute((xs) => xs.map((x) => x * x)),
    spin: cluster.distribute(spin),
  }
  const moved = cluster.distribute((x) => transfer(x))
  return {
    bulk: true,
    call: (op, arg) => ops[op](arg),
    map: (op, inputs) => ops[op].map(inputs),
    // The one function that is transferred is `identity`; its result goes back the same way.
    move: (_op, arg) => moved(transfer(arg)),
  }
}
