// README and docs/api.md of poolifier: a fixed pool (dynamic where only one worker is wanted at first), its own
// `mapExecute` for lists. Defaults elsewhere: they are the fastest for many calls. `+queue` turns on its task
// queue, which steals tasks from busy workers: better for uneven tasks. It cannot transfer a result.
import { fileURLToPath } from 'node:url'
import { DynamicThreadPool, FixedThreadPool } from 'poolifier'

export function open({ slots, minimum, variant }) {
  const file = fileURLToPath(new URL('./poolifier.worker.mjs', import.meta.url))
  const options = { enableTasksQueue: variant === 'queue' }
  const pool =
    minimum < slots
      ? new DynamicThreadPool(minimum, slots, file, options)
      : new FixedThreadPool(slots, file, options)
  return {
    call: (op, arg) => pool.execute(arg, op),
    map: (op, inputs) => pool.mapExecute(inputs, op),
    move: (op, arg) => pool.execute(arg, op, undefined, [arg.buffer]),
    movesArgumentOnly: true,
  }
}
