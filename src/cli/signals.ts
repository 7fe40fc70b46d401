/** The signals that ask a service to end. SIGHUP: its terminal is gone. */
const ENDING: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Waits for them: the first asks to finish, the second to leave at once. */
export class EndSignals {
  readonly #first = new AbortController()
  readonly #second = new AbortController()
  readonly #listener = (name: NodeJS.Signals) => {
    this.last = name
    const which = this.#first.signal.aborted ? this.#second : this.#first
    which.abort()
  }
  last: NodeJS.Signals | undefined

  constructor() {
    for (const name of ENDING) process.on(name, this.#listener)
  }

  get first(): AbortSignal {
    return this.#first.signal
  }

  get second(): AbortSignal {
    return this.#second.signal
  }

  /** Signals do again what they do by default. */
  release(): void {
    for (const name of ENDING) process.off(name, this.#listener)
  }
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
