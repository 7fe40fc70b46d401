import Tinypool from 'tinypool'
import { identity, squareAll } from '../child/ops.mjs'

export * from '../child/ops.mjs'

export const identityMoved = (xs) => Tinypool.move(identity(xs))
export const squareAllMoved = (xs) => Tinypool.move(squareAll(xs))
