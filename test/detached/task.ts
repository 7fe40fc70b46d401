import { appendFileSync } from 'node:fs'

export default function ({ file, n }: { file: string; n: number }): number {
  appendFileSync(file, `${n}\n`)
  return 3 * n
}
