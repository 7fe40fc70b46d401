import { canColour, displayWidth, paint } from '../progress/index.ts'
import type { Finding, Status } from './doctor/check.ts'
import { gatherFacts } from './doctor/facts.ts'
import { judge } from './doctor/judge.ts'
import { EXIT } from './exit.ts'

/** Prints what is well and what is not on this machine. Resolves to the exit code. */
export async function doctor(options: { json?: boolean }): Promise<number> {
  const findings = judge(await gatherFacts())
  const failed = findings.some((finding) => finding.status === 'fail')
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ ok: !failed, findings }, undefined, 2)}\n`
      : formatFindings(findings, canColour(process.stdout)),
  )
  return failed ? EXIT.failure : EXIT.ok
}

const COLOURS: Record<Status, Parameters<typeof paint>[1]> = {
  ok: 'green',
  note: 'dim',
  warn: 'yellow',
  fail: 'red',
}

/** One line per finding, and what to do under it. */
export function formatFindings(findings: Finding[], colour: boolean): string {
  const width = Math.max(...findings.map((finding) => displayWidth(finding.name)))
  const lines = findings.map(({ name, status, value, advice }) => {
    const mark = paint(status.padEnd(4), colour ? COLOURS[status] : undefined)
    return `${mark}  ${name.padEnd(width)}  ${value}${advice ? `\n${' '.repeat(width + 8)}→ ${advice}` : ''}\n`
  })
  const count = (status: Status) => findings.filter((finding) => finding.status === status).length
  const [fails, warns] = [count('fail'), count('warn')]
  const verdict =
    fails > 0
      ? `dicomp does not work here yet: ${fails} failed, ${warns} warning${warns === 1 ? '' : 's'}.`
      : warns > 0
        ? `dicomp works here, with ${warns} warning${warns === 1 ? '' : 's'}.`
        : 'All is well.'
  return `${lines.join('')}${verdict}\n`
}
