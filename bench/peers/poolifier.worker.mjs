import { ThreadWorker } from 'poolifier'
import { identity, spin, square, squareAll } from '../child/ops.mjs'

export default new ThreadWorker({ identity, square, squareAll, spin })
