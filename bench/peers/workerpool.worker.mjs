import workerpool from 'workerpool'
import { identity, spin, square, squareAll } from '../child/ops.mjs'

const moved = (result) => new workerpool.Transfer(result, [result.buffer])

workerpool.worker({
  identity,
  square,
  squareAll,
  spin,
  identityMoved: (xs) => moved(identity(xs)),
  squareAllMoved: (xs) => moved(squareAll(xs)),
})
