/** Which programs stay loaded in the slots: those of open jobs, and some that were used lately. */

/** Programs of no job that are kept: a map that is repeated does not load its captured values anew each time. */
const KEPT = 32

export class ProgramUse {
  readonly #jobs = new Map<number, number>()
  /** Programs of no job, the least recently used first. */
  readonly #idle = new Set<number>()

  /** A job needs the program. */
  begin(program: number): void {
    this.#jobs.set(program, (this.#jobs.get(program) ?? 0) + 1)
    this.#idle.delete(program)
  }

  /**
   * A job that needed the program is over.
   * @returns a program that is to be unloaded
   */
  end(program: number): number | undefined {
    const left = (this.#jobs.get(program) ?? 1) - 1
    if (left > 0) {
      this.#jobs.set(program, left)
      return undefined
    }
    this.#jobs.delete(program)
    this.#idle.add(program)
    if (this.#idle.size <= KEPT) return undefined
    const [oldest] = this.#idle
    this.#idle.delete(oldest as number)
    return oldest
  }
}
