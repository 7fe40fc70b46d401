// The functions that every competitor runs. Nothing here is specific to one of them.

export const identity = (x) => x

export const square = (x) => x * x

/** A hand-cut part of the inputs, for libraries whose own map is one message per element. */
export const squareAll = (xs) => xs.map(square)

/**
 * A fixed amount of work, not a fixed time: a task that spins until a clock says stop looks just as fast on a
 * core that something else is using, and would hide what a pool costs.
 */
export const spin = (iterations) => {
  let h = 1
  for (let i = 0; i < iterations; i++) h = Math.imul(h ^ i, 0x9e3779b1)
  return h
}

export const byName = { identity, square, squareAll, spin }
