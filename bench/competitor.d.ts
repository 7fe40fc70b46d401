/**
 * What each file in `competitors/` and `peers/` exports: one way of running functions on `slots` threads, behind
 * one interface, so that every scenario measures the same thing. The functions themselves are in `child/ops.mjs`.
 */
export interface Competitor {
  open(options: OpenOptions): Pool | Promise<Pool>
}

export interface OpenOptions {
  /** Most workers. */
  slots: number
  /** Workers that may be started before they are needed; 1 in the cold start, `slots` everywhere else. */
  minimum: number
  /** What follows `+` in a competitor's name: `dicomp+process`, `poolifier+queue`. */
  variant?: string
}

export type Op = 'identity' | 'square' | 'squareAll' | 'spin'

export interface Pool {
  /** One task, one promise: how the library runs a single call. Absent where there is no such thing. */
  call?(op: Op, arg: unknown): Promise<unknown>
  /** One task per element, as a user of the library writes it; results in input order. */
  map(op: Op, inputs: number[] | Float64Array): Promise<ArrayLike<unknown>>
  /** `map` is meant for a million tiny tasks; without this, scenarios cut the inputs by hand and `call` each part. */
  bulk?: boolean
  /** One task whose argument, and where the library can its result, is transferred instead of copied. */
  move?(op: Op, arg: Float64Array): Promise<Float64Array>
  /** The library can only transfer the argument. */
  movesArgumentOnly?: boolean
}
