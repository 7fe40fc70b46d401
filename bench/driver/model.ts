/** The nouns of the driver: what is measured, of whom, and what came out. */

export interface Metric {
  key: string
  title: string
  unit: string
  better: 'lower' | 'higher'
  /** Shown as `time of this competitor ÷ own time` of the same round, instead of as it is: an efficiency. */
  bound?: { competitor: string; key: string }
}

export interface Scenario {
  name: string
  /** One line for the reader: what happens. */
  title: string
  /** File in `scenarios/`, without extension. */
  file: string
  /** In the order in which a round runs them. */
  competitors: readonly string[]
  metrics: readonly Metric[]
  rounds: number
  params: Readonly<Record<string, unknown>>
  /** What `--quick` changes in `params`. */
  quick?: Readonly<Record<string, unknown>>
  /** A run that takes longer is killed, in seconds. */
  limit: number
  /** Runs that are not kept, before the first round: disk caches, and whatever a library caches between processes. */
  rehearse?: boolean
  /** The result has `at`, a monotonic clock reading; the metric is the time since the process was started. */
  sinceStart?: string
}

export type Outcome =
  | { status: 'ok'; values: Record<string, number>; atLeast: string[]; note?: string }
  | { status: 'timeout'; seconds: number }
  | { status: 'failed'; why: string }

export interface Run {
  scenario: string
  competitor: string
  round: number
  outcome: Outcome
  /** CPU that other processes used meanwhile, in cores; undefined where it cannot be told. */
  foreign: number | undefined
  /** Other processes disturbed it, and so they did every repetition. */
  disturbed: boolean
  seconds: number
}

export interface Target {
  title: string
  scenario: string
  /** What the requirement compares, computed from the runs of one scenario. */
  ratio: { of: Measure; to?: Measure }
  goal: number
  reach: 'at least' | 'at most'
  /** '' is a plain number. */
  unit: '×' | 'ms' | 's' | '%' | 'bytes' | ''
}

export interface Measure {
  competitor: string
  key: string
}

export interface Verdict {
  title: string
  goal: string
  unit: Target['unit']
  value: number | undefined
  reached: boolean | undefined
}
