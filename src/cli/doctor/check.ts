/** `note` is neither good nor bad; `fail` means that dicomp does not work here. */
export type Status = 'ok' | 'note' | 'warn' | 'fail'

export interface Finding {
  name: string
  status: Status
  /** What was found. */
  value: string
  /** What to do about it, when something is not well. */
  advice?: string
}

/** What the machine says, gathered first so that judging it is pure. Sizes in bytes. */
export interface MachineFacts {
  node: string
  platform: string
  /** Cores that this process may run on. */
  cores: number
  /** CPU time that a container allows, in cores. */
  cpuQuota: number | undefined
  memory: number
  freeMemory: number
  /** Memory that a container allows. */
  memoryLimit: number | undefined
  openFiles: number | undefined
  processes: number | undefined
  /** Milliseconds until one answered, or what went wrong. */
  thread: number | Error
  process: number | Error
  /** Milliseconds of the first call of a distributed function, or what went wrong. */
  call: number | Error
  inspector: boolean
  prlimit: boolean
  bubblewrap: 'works' | 'blocked' | 'missing'
  cache: { path: string; writable: boolean; fallback: boolean; free: number | undefined }
}
