import type { Machine } from './machine.ts'
import type { Run, Scenario, Verdict } from './model.ts'
import { summarize } from './summary.ts'
import { renderScenario, renderVerdicts } from './table.ts'

export interface Report {
  machine: Machine
  command: string
  slots: number
  seconds: number
  scenarios: readonly Scenario[]
  runs: readonly Run[]
  verdicts: readonly Verdict[]
}

/** The text of RESULTS.md. */
export function markdown(report: Report): string {
  const { machine } = report
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`)
  const lines = [
    '# Results',
    '',
    `Written by \`${report.command}\`; what is measured and how to read it: [README.md](README.md).`,
    '',
    `- Date: ${machine.date}, commit ${machine.commit}, ${Math.round(report.seconds / 60)} minutes`,
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, ${machine.system}`,
    `- Node ${machine.node}; ${report.slots} workers each; ${versions.join(', ')}`,
    '',
    '## Targets',
    '',
    renderVerdicts(report.verdicts, 'markdown'),
  ]
  for (const scenario of report.scenarios) {
    lines.push(
      '',
      `## ${scenario.name}`,
      '',
      `${scenario.title}.`,
      '',
      renderScenario(scenario, summarize(scenario, report.runs), 'markdown'),
    )
  }
  return `${lines.join('\n')}\n`
}

/** Everything, every run included, for programs. */
export function json(report: Report): string {
  const scenarios = report.scenarios.map((scenario) => ({
    ...scenario,
    rows: summarize(scenario, report.runs),
  }))
  return `${JSON.stringify({ ...report, scenarios }, null, 2)}\n`
}
