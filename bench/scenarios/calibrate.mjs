import { calibrate } from '../child/measure.mjs'

export const run = () => ({ spinsPerMs: calibrate() })
