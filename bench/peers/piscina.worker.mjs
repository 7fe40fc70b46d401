// static-property.md of piscina: a result is transferred when the function returns it in `move()`.
import { move } from 'piscina'
import { identity, squareAll } from '../child/ops.mjs'

export * from '../child/ops.mjs'

export const identityMoved = (xs) => move(identity(xs))
export const squareAllMoved = (xs) => move(squareAll(xs))
