// The functions that every competitor in JavaScript runs, beside those of ../../child/ops.mjs.
import { appendFileSync } from 'node:fs'
import { identity, spin, square, squareAll } from '../../child/ops.mjs'

/** Keeps its slot, and no core, busy. */
const hold = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000, seconds))

/** Reads each page, so that the bytes really are here. Says where "here" is. */
const touch = (data) => {
  let sum = 0
  for (let i = 0; i < data.length; i += 4096) sum += data[i]
  return [data.length, sum, process.pid]
}

/** Appends to a file that it runs now, then keeps its slot. */
const announce = ([path, index, seconds]) => {
  appendFileSync(path, `${index} ${process.pid} ${process.hrtime.bigint()}\n`)
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000, index))
}

/** Keeps a core busy; says when it began (all processes of a computer have the same clock). */
const work = (ms) => {
  const from = Date.now()
  while (Date.now() - from < ms);
  return from
}

export const tasks = { identity, square, squareAll, spin, hold, touch, announce, work }
